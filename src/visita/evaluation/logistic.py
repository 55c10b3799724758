"""Logistic regression, as every probability of a match is fitted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression


def logistic(
    features: NDArray[np.float64],
    labels: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
) -> tuple[float, ...]:
    """Return the intercept and a number for each feature.

    Parameters
    ----------
    features : float64 (e, f)
    labels : bool (e,)
        Not all alike.
    weights : float64 (e,) or None
        How much each example counts.
    """
    # A faint penalty: it only matters where the labels can be told apart perfectly.
    model = LogisticRegression(C=1e4, tol=1e-6, max_iter=1000)
    model.fit(features, labels, sample_weight=weights)
    return float(model.intercept_[0]), *map(float, model.coef_[0])
