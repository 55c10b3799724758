"""What every new matcher is given in the end: threshold and probabilities, and how it was made."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.data import PairSet
from visita.errors import DataError
from visita.evaluation import (
    LEAST_WORDS,
    fit_calibration,
    fit_keyword_calibration,
    fit_match_probability,
    keyword_queries,
)
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.pairs import LabelledPairs, draw_pairs
from visita.matchers.calibration import Calibration
from visita.matchers.match_probability import EVEN
from visita.types import FloatArray, Matcher

Vectors = tuple[FloatArray, FloatArray]
"""Of images (n, d) and of texts (m, d), whose inner products are scores."""


def calibrate(matcher: Matcher, dev: PairSet, embedded: Vectors, seed: int) -> dict[str, Any]:
    """Return the fields that say how probable a match is, and the threshold, fitted on dev.

    ``embedded`` are the matcher's vectors of ``dev``.
    """
    features = partial(features_of_pairs, embedded, dev.texts)
    return {
        **calibrate_searches(matcher, dev, embedded, seed),
        **calibrate_pairs(dev, features, seed),
    }


def calibrate_searches(
    matcher: Matcher,
    dev: PairSet,
    embedded: Vectors,
    seed: int,
    *,
    words: Callable[[Sequence[str]], Vectors] | None = None,
) -> dict[str, Any]:
    """Return the fields calibration and keyword_calibration, fitted on dev.

    ``embedded`` are the matcher's vectors of ``dev``; ``words`` gives those of its images with
    other texts, where they are not as the matcher embeds them.
    """
    truth = dev.truth.tocsr()

    def embed(texts: Sequence[str]) -> Vectors:
        return embedded[0], matcher.embed_texts(matcher.open_text_encoder().encode(texts))

    return {
        "calibration": fit_calibration(*embedded, truth, seed=seed),
        "keyword_calibration": _keyword_calibration(dev, words or embed, seed),
    }


def calibrate_pairs(
    dev: PairSet, features: Callable[[LabelledPairs], NDArray[np.float64]], seed: int
) -> dict[str, Any]:
    """Return the fields match_probability and threshold, fitted on dev.

    ``features`` gives the ``match_features`` of pairs.
    """
    drawn = draw_pairs(dev.truth.tocsr(), seed=seed)
    probability = fit_match_probability(features(drawn), drawn.labels)
    return {"match_probability": probability, "threshold": EVEN}


def provenance(pairs: PairSet) -> dict[str, Any]:
    """Return the facts of any matcher made from ``pairs``: the data, and what ran."""
    return {
        "data": {"source": pairs.source.partition(":")[0], "fingerprint": pairs.fingerprint()},
        "images": pairs.splits(),
        "versions": {p: version(p) for p in ("visita", "torch", "numpy", "openvino")},
        "python": platform.python_version(),
    }


def _keyword_calibration(
    dev: PairSet, embed: Callable[[Sequence[str]], Vectors], seed: int
) -> Calibration | None:
    """Fit the probability of keywords on the nouns of dev's captions; None if they are few."""
    try:
        queries = keyword_queries(dev.texts, dev.truth.tocsr())
    except DataError:  # none at all, such as with one caption an image
        return None
    if len(queries.nouns) < LEAST_WORDS:
        return None
    return fit_keyword_calibration(*embed(queries.nouns), queries.relevance, seed=seed)
