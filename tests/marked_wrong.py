"""Pairs as somebody would refuse them who sees what a matcher finds first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import sparse

import visita
from visita.data import PairSet
from visita.evaluation.measure import features_for, vectors


def refused(pairs: PairSet, name: str) -> PairSet:
    """Return each text with the picture of its split that a matcher takes for it, and is not."""
    matcher = visita.load(name)
    images, texts = vectors(matcher, features_for(matcher, pairs, None))
    apart = pairs.image_split[:, None] != pairs.text_split
    scores = np.where(apart | pairs.truth.toarray(), -np.inf, images @ texts.T)
    places = scores.argmax(0), np.arange(len(pairs.texts))
    found = sparse.csr_array((np.ones(len(pairs.texts), bool), places), shape=pairs.truth.shape)
    return replace(pairs, source="refused", truth=found)
