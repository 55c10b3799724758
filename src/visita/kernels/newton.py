"""Kernel weights by second order: where the SVM's dual would be least if its free rows stayed so.

Chapelle & Rakotomamonjy (2008), "Second order optimization of kernel parameters". Near the
optimum a few such steps do what hundreds of first order would, above all for kernels that are
alike, along whose difference J is nearly flat.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from scipy.optimize import nnls

from visita.kernels.functions import Gram
from visita.kernels.gram import weighted_sum

Vector = NDArray[np.float64]

BOUND = 1e-6
"""A row this near to 0 or to its cost, as a part of it, is not free to move."""
RIDGE = 1e-9
"""Of the largest: kernels that are the same leave directions without curvature."""
SUM = 30.0
"""How hard the weights are held to sum 1, in units of the root of the largest curvature."""


def newton_weights(
    grams: Sequence[Gram], weights: Vector, gradient: Vector, dual: Vector, costs: Vector
) -> Vector:
    """Return the weights (m,), on the simplex, of the least quadratic model of J.

    Parameters
    ----------
    grams : m of float64 (n, n)
    weights, gradient : float64 (m,)
        Where the model is made, and the slope of J there.
    dual : float64 (n,)
        y_i β_i of each row.
    costs : float64 (n,)
        What a unit of each row's slack costs: the bound of β_i.
    """
    free = np.flatnonzero((np.abs(dual) > BOUND * costs) & (np.abs(dual) < (1 - BOUND) * costs))
    values, directions = linalg.eigh(_curvature(grams, weights, dual, free))
    # Rounding leaves some below zero where there are more free rows than a kernel has columns.
    roots = np.sqrt(np.maximum(values, max(RIDGE * values[-1], np.finfo(np.float64).tiny)))
    matrix = roots[:, None] * directions.T
    target = matrix @ weights - (gradient @ directions) / roots
    hold = SUM * roots[-1]
    found = nnls(np.vstack([matrix, np.full(len(weights), hold)]), np.append(target, hold))[0]
    return np.asarray(found / found.sum())


def _curvature(
    grams: Sequence[Gram], weights: Vector, dual: Vector, free: NDArray[np.int64]
) -> Vector:
    """Return the Hessian of J, (m, m): how the free rows would follow, their sum unchanged."""
    if not len(free):
        return np.zeros((len(grams), len(grams)))
    pulls = np.stack([gram[free] @ dual for gram in grams], axis=1)
    kernel = weighted_sum(grams, weights)[np.ix_(free, free)]
    kernel.flat[:: len(kernel) + 1] += max(RIDGE * np.diag(kernel).max(), 1e-12)
    sides = np.column_stack([pulls, np.ones(len(free))])
    solved = linalg.cho_solve(linalg.cho_factor(kernel), sides)
    moved, shift = solved[:, :-1], solved[:, -1]
    return np.asarray(pulls.T @ (moved - np.outer(shift, shift @ pulls) / shift.sum()))
