"""Fitting and measuring P(match) of pairs by themselves, on the pairs of ``pairs.py``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.evaluation.blocks import Truth, check_truth
from visita.evaluation.calibrate import logistic
from visita.evaluation.intervals import components
from visita.evaluation.pairs import LabelledPairs, Pairs, measure_pairs
from visita.matchers.pair_probability import (
    EVEN,
    HeightProbability,
    MatchProbability,
    match_features,
    word_counts,
)
from visita.types import FloatArray

CORE = 4
"""Features of pairs where there are no texts that stand for any; with those there are fewer."""
_ROWS = 4096
"""Pairs at once, so that their vectors take some megabytes."""


def fit_match_probability(
    features: NDArray[np.float64], labels: NDArray[np.bool_]
) -> HeightProbability | MatchProbability:
    """Fit P(match) by logistic regression, on a split that was not trained on.

    Parameters
    ----------
    features : float64 (p, f)
        ``match_features`` of the pairs; by their number it is known of what.
    labels : bool (p,)

    Raises
    ------
    DataError
        If all labels are alike.
    """
    if labels.all() or not labels.any():
        raise DataError("Telling matches takes pairs that are one and pairs that are none.")
    kind = MatchProbability if features.shape[1] >= CORE else HeightProbability
    return kind(*logistic(features, labels))


def features_of_pairs(
    vectors: tuple[FloatArray, FloatArray],
    texts: Sequence[str],
    of: LabelledPairs,
    second: FloatArray | None = None,
    others: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Return ``match_features`` of each pair, float64 (p, f).

    Parameters
    ----------
    vectors : float32 (n, d), (m, d)
        Of images and of texts.
    texts : sequence of str
    second : float32 (p,) or None
        The second stage's scores of the pairs.
    others : float (t, d) or None
        Directions of texts that stand for any.
    """
    features, starts = [], range(0, len(of.labels), _ROWS)
    words = word_counts(texts)
    for rows in (slice(start, start + _ROWS) for start in starts):
        images, text = of.images[rows], of.texts[rows]
        own = None if second is None else second[rows]
        known = vectors[0][images], vectors[1][text], words[text], own, others
        features.append(match_features(*known))
    return np.concatenate(features)


def cross_fitted_pairs(
    features: NDArray[np.float64], drawn: LabelledPairs, truth: Truth, *, seed: int
) -> tuple[Pairs, NDArray[np.float64]]:
    """Fit on the pairs of one half of the images, measure on the other, and the other way round.

    Images that share a text are in one half. Returns what was measured, a probability of one half
    being a match, and the probabilities, float64 (p,).

    Parameters
    ----------
    features : float64 (p, f)
        ``match_features`` of the pairs ``drawn``.
    truth : csr bool (n, m)

    Raises
    ------
    DataError
        If all images hang together through shared texts.
    """
    truth = check_truth(truth, truth.shape)
    groups = components(truth).images
    names = np.unique(groups[drawn.images])
    if len(names) < 2:
        raise DataError("All images share texts, so they cannot be halved; add more pairs.")
    half = np.random.default_rng(seed).permutation(names)[: len(names) // 2]
    first = np.isin(groups[drawn.images], half)
    probabilities = np.empty(len(first))
    for measured in (first, ~first):
        fitted = fit_match_probability(features[~measured], drawn.labels[~measured])
        probabilities[measured] = fitted.of(features[measured])
    numbers = measure_pairs(
        probabilities, drawn, truth, threshold=EVEN, threshold_from="the other half", seed=seed
    )
    return numbers, probabilities
