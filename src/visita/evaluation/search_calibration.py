"""Fitting P(match) of a search's results by how they stand out; see ``calibrate.py``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from visita.evaluation.blocks import Truth
from visita.evaluation.calibrate import (
    Examples,
    GalleryResults,
    VectorStage,
    draw_galleries,
    joined,
    logistic,
    result_weights,
)
from visita.matchers.standing_out import SearchCalibration, standing
from visita.types import FloatArray

SIZES = (2, 5, 10, 30, 100, 300, 1000)
HEIGHT, LEAD = range(2)
"""Columns of ``standing`` with which P does not fall."""


def fit_search_calibration(
    embedded: tuple[FloatArray, FloatArray],
    truth: Truth,
    stage: VectorStage,
    *,
    sizes: Sequence[int] = SIZES,
    seed: int,
) -> SearchCalibration:
    """Fit it on a split that was not trained on, by logistic regression.

    Parameters
    ----------
    embedded : float32 (n, d), (m, d)
        Of images and of texts, whose inner products are scores.
    truth : csr bool (n, m)
        Every text needs an image.
    stage : VectorStage
        The vectors that a search is by.
    sizes : sequence of int
        Gallery sizes; those above n become n.
    seed : int
        Seed of the galleries.

    Raises
    ------
    DataError
        As ``fit_calibration``.
    """
    return fit_standing(draw_galleries(*embedded, truth, sizes, seed, stage))


def fit_standing(drawn: Iterable[GalleryResults]) -> SearchCalibration:
    """Fit it on results already labelled, each gallery size counting the same.

    Raises
    ------
    DataError
        If all labels are alike.
    """
    features, labels, weights = joined(_examples(results) for results in drawn)
    fitted = logistic(features, labels, weights)
    while falling := [column for column in (HEIGHT, LEAD) if fitted[1 + column] < 0]:
        features[:, falling[0]] = 0  # worse than chance: it tells nothing
        fitted = logistic(features, labels, weights)
    return SearchCalibration(*fitted)


def _examples(results: GalleryResults) -> Examples:
    """Return features (e, 4), labels (e,) and weights (e,) that sum to the number of queries."""
    shown = np.isfinite(results.scores)
    features = standing(np.where(shown, results.scores, 0), results.crowd)
    return features[:, shown].T, results.labels[shown], result_weights(shown)
