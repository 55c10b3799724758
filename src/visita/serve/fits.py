"""Whether a picture fits a sentence, whatever else there is: what ``visita match`` says of a pair.

A search knows how probable it is that a picture is *the one* that a sentence describes; of twenty
pictures that all fit, each is that by a twentieth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visita.matchers.pair_probability import match_features
from visita.search.finder import Finder
from visita.types import FloatArray

Fit = float | None


def fits(finder: Finder, text: str, vectors: Sequence[FloatArray]) -> list[Fit]:
    """Return the probability that pictures and a text belong together, for each picture.

    None for all where a search knows it itself, as for keywords; where something is not to be
    there; and where it takes the second stage, or the matcher was not taught to tell.

    Parameters
    ----------
    vectors : n of float32 (d,)
        Of the pictures.
    """
    query = finder.reading(text).query(text)
    judge = query.matcher and query.matcher.match_probability
    told_otherwise = query.kind == "keywords" or query.unwanted or query.reranker is not None
    if not judge or told_otherwise or not vectors:
        return [None] * len(vectors)
    pictures = np.stack(vectors)
    texts = np.broadcast_to(query.pooled(), pictures.shape)
    words = np.full(len(vectors), query.words(), np.float32)
    others = query.matcher.any_texts if query.matcher else None
    return list(map(float, judge.of(match_features(pictures, texts, words, others=others))))
