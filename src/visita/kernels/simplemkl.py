"""SimpleMKL: an SVM and the weights of its kernels, learnt together.

The MKL-VisITA paper's eqs. 1-3 with K = Σ α_k K_k, α >= 0, Σα = 1, in the formulation of
Rakotomamonjy, Bach, Canu & Grandvalet (2008), "SimpleMKL", JMLR 9: J(α), the optimum of the
SVM with that kernel, is convex and differentiable in α.

Reduced gradient is slow at the last percent, which is left to steps of second order (Chapelle &
Rakotomamonjy, 2008, "Second order optimization of kernel parameters"): to where the SVM's dual
would be least if its free rows stayed so. A few do what hundreds of first order would, above all
for kernels that are alike, along whose difference J is nearly flat.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from scipy.optimize import nnls
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC

from visita.brief import Brief
from visita.errors import ConfigError
from visita.kernels.functions import Gram
from visita.kernels.gram import Signs, check_problem, check_weights, weighted_sum

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
    solution = nnls(np.vstack([matrix, np.full(len(weights), hold)]), np.append(target, hold))[0]
    return np.asarray(solution / solution.sum())


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


NOTHING = 1e-9
"""A weight below this is zero: steps to such a wall would be endless and short."""
ENTRY = 0.01
"""The size, in units of a uniform weight, at which a weight of zero starts to move."""
SEARCHES = 20
"""SVMs a line search at most."""
PAPER_TOLERANCE = 0.01
"""Duality gap, as a part of the objective, at which the paper stops. The weights of kernels that
are alike are off by up to 0.3 then. From here on second order is tried first."""
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MKLSolution(Brief):
    """An SVM with weighted kernels, and the proof of how good it is.

    Attributes
    ----------
    weights : float64 (m,)
        α of each kernel, on the simplex.
    dual : float64 (n,)
        y_i β_i of each training row; f(x) = Σ_i dual_i k(x_i, x) + intercept.
    intercept : float
    objective : float
        Value of eq. 1: ½‖w‖² + C Σξ.
    gap : float
        No solution is better than ``objective - gap``.
    iterations : int
        Points visited, the first of which is the mean of the kernels.
    """

    weights: Vector
    dual: Vector
    intercept: float
    objective: float
    gap: float
    iterations: int


@dataclass(frozen=True, slots=True, eq=False)
class _Point:
    """The SVM at one α. ``gradient`` is that of J, -½ βᵀYK_kYβ."""

    weights: Vector
    dual: Vector
    intercept: float
    gradient: Vector
    primal: float
    bound: float

    @property
    def gap(self) -> float:
        return self.primal - self.bound


def simple_mkl(
    grams: Sequence[ArrayLike],
    signs: ArrayLike,
    *,
    C: float,  # noqa: N803 - the field's name for it
    tolerance: float = TOLERANCE,
    max_iter: int = 200,
    sample_weight: ArrayLike | None = None,
) -> MKLSolution:
    """Solve eqs. 1-3 by reduced gradient on the simplex; each SVM by SMO (libsvm).

    Where kernels are the same, or sums of others, weights are not unique: one solution is
    returned, and ``objective`` is what all share.

    Parameters
    ----------
    grams : m of (n, n)
        Of comparable size (``variance``): a large kernel needs only a small weight.
    signs : (n,)
        1 and -1.
    C : float
        What a unit of slack costs.
    tolerance : float
        It stops when the duality gap is this part of the objective. It includes what SMO leaves
        open, so it is a bound and not an estimate. Weights are then right to about 0.01; at the
        0.01 of the paper they are not.
    max_iter : int
        Points visited at most; a ``ConvergenceWarning`` tells when they did not suffice.
    sample_weight : (n,) or None
        Times C, what a unit of each row's slack costs; above 0. None is 1.

    Raises
    ------
    DataError
        As ``check_problem``.
    ConfigError
        If C or the tolerance is not above 0, or ``max_iter`` is below 1.
    """
    if not (C > 0 and tolerance > 0 and max_iter >= 1):
        raise ConfigError("SimpleMKL needs C > 0, tolerance > 0 and max_iter >= 1.")
    checked, labels = check_problem(grams, signs)
    costs = C * check_weights(sample_weight, len(labels))

    def solve(weights: Vector) -> _Point:
        return _svm(checked, labels, weights, costs, tolerance)

    point, visited = solve(np.full(len(checked), 1 / len(checked))), 1
    while point.gap > tolerance * point.primal and visited < max_iter:
        point, visited = _nearer(point, solve, checked, costs), visited + 1
    if point.gap > tolerance * point.primal:
        warnings.warn(
            f"SimpleMKL stopped at point {visited} with a duality gap of "
            f"{point.gap / point.primal:.2g} of the objective, so that weights may be off; raise "
            "max_iter or tolerance.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return MKLSolution(
        weights=point.weights,
        dual=point.dual,
        intercept=point.intercept,
        objective=point.primal,
        gap=point.gap,
        iterations=visited,
    )


def _svm(
    grams: Sequence[Gram], signs: Signs, weights: Vector, costs: Vector, tolerance: float
) -> _Point:
    gram = weighted_sum(grams, weights)
    for precision in (1e-3, 1e-4, 1e-5, 1e-6, 1e-7):
        svm = SVC(C=1.0, kernel="precomputed", tol=precision).fit(gram, signs, costs)
        support, own = svm.support_, svm.dual_coef_[0]
        images = np.stack([kernel[:, support] @ own for kernel in grams])
        norms = images[:, support] @ own
        outputs = weights @ images + svm.intercept_[0]
        primal = weights @ norms / 2 + costs @ np.maximum(0, 1 - signs * outputs)
        least = np.abs(own).sum()
        # SMO measures its precision in outputs; what counts is its part of the gap.
        if primal - (least - weights @ norms / 2) <= tolerance / 4 * primal:
            break
    dual = np.zeros(len(signs))
    dual[support] = own
    return _Point(
        weights,
        dual,
        intercept=float(svm.intercept_[0]),
        gradient=-norms / 2,
        primal=float(primal),
        bound=float(least - norms.max() / 2),
    )


def _nearer(
    point: _Point, solve: Callable[[Vector], _Point], grams: Sequence[Gram], costs: Vector
) -> _Point:
    """Return a better point: by second order where that is near enough, else by first."""
    if point.gap <= PAPER_TOLERANCE * point.primal:
        nearer = solve(newton_weights(grams, point.weights, point.gradient, point.dual, costs))
        if nearer.gap < point.gap:
            return nearer
    return _descend(point, solve)


def _direction(point: _Point) -> Vector:
    """Return the reduced descent direction: sum zero, never out of the simplex at once.

    The largest weight takes what the others leave. Each is scaled by its own size, for the
    curvature of J along α_k grows as 1 / α_k; unscaled, a small weight makes all steps small.
    """
    weights, gradient = point.weights, point.gradient
    pivot = int(np.argmax(weights))
    direction: Vector = (gradient[pivot] - gradient) * (weights + ENTRY / len(weights))
    direction[(weights == 0) & (direction < 0)] = 0
    direction[pivot] = -direction.sum()  # its own entry was zero
    return direction


def _descend(point: _Point, solve: Callable[[Vector], _Point]) -> _Point:
    """Return a point near the least J along the reduced direction.

    J is convex, so its slope crosses zero at most once before a weight reaches zero:
    false position (the Illinois variant) until the slope is a tenth of what it was.
    """
    direction = _direction(point)
    falling = direction < 0
    if not falling.any():
        return point

    def at(step: float) -> tuple[_Point, float]:
        weights = point.weights + step * direction
        weights[weights < NOTHING] = 0
        reached = solve(weights / weights.sum())
        return reached, float(reached.gradient @ direction)

    low, low_slope = 0.0, float(point.gradient @ direction)
    flat = abs(low_slope) / 10
    high = float((-point.weights[falling] / direction[falling]).min())
    reached, high_slope = at(high)
    slope, side = high_slope, 0
    if slope <= 0:
        return reached
    for _ in range(SEARCHES):
        if abs(slope) <= flat:
            break
        step = (low * high_slope - high * low_slope) / (high_slope - low_slope)
        reached, slope = at(step)
        if slope < 0:
            low, low_slope, high_slope = step, slope, high_slope / (2 if side < 0 else 1)
        else:
            high, high_slope, low_slope = step, slope, low_slope / (2 if side > 0 else 1)
        side = -1 if slope < 0 else 1
    return reached
