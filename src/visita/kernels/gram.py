"""Gram matrices: what makes them usable, centred, of one size, and summed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from sklearn.preprocessing import KernelCenterer

from visita.errors import DataError
from visita.kernels.functions import Gram

Signs = NDArray[np.float64]
"""Labels of a two-class problem, float64 (n,), each 1 or -1."""

SLACK = 1e-7
"""Eigenvalues down to -SLACK × trace are rounding: single precision leaves such."""


def check_gram(gram: ArrayLike, name: str = "The Gram matrix") -> Gram:
    """Return ``gram`` as float64 (n, n).

    Raises
    ------
    DataError
        If it is not square, finite, symmetric and positive semi-definite.
    """
    checked = np.asarray(gram, np.float64)
    if checked.ndim != 2 or len(checked) != checked.shape[-1] or not len(checked):
        raise DataError(
            f"{name} has the shape {checked.shape}; it needs as many columns as rows, at least one."
        )
    if not np.isfinite(checked).all():
        raise DataError(f"{name} holds NaN or infinite values; look for them in the features.")
    if np.abs(checked - checked.T).max() > 1e-5 * np.abs(checked).max():
        raise DataError(f"{name} is not symmetric; compute it as kernel(X, X).")
    raised = checked.copy()
    raised.flat[:: len(raised) + 1] += max(SLACK * np.trace(raised), np.finfo(np.float64).tiny)
    try:
        linalg.cholesky(raised, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError:
        least = linalg.eigvalsh(checked, subset_by_index=(0, 0))[0]
        raise DataError(
            f"{name} is not positive semi-definite (least eigenvalue {least:.3g}), so it is no "
            "kernel; take another function, or set its negative eigenvalues to zero."
        ) from None
    return checked


def check_problem(grams: Sequence[ArrayLike], signs: ArrayLike) -> tuple[list[Gram], Signs]:
    """Return Gram matrices, float64 (n, n), and labels, float64 (n,), that can be learnt from.

    Raises
    ------
    DataError
        If there is no Gram matrix, one is not usable (``check_gram``) or of another size,
        or the labels are not 1 and -1, both of them.
    """
    labels = np.asarray(signs, np.float64)
    if labels.ndim != 1 or set(np.unique(labels)) != {-1.0, 1.0}:
        raise DataError("Learning kernel weights needs labels 1 and -1, and both of them.")
    if not len(grams):
        raise DataError("There are no kernels to weigh; give at least one Gram matrix.")
    checked = [check_gram(gram, f"Gram matrix {k + 1}") for k, gram in enumerate(grams)]
    sizes = {len(gram) for gram in checked}
    if sizes != {len(labels)}:
        raise DataError(f"{len(labels)} labels do not fit Gram matrices of size {sorted(sizes)}.")
    return checked, labels


def check_weights(sample_weight: ArrayLike | None, count: int) -> NDArray[np.float64]:
    """Return how often each row counts, float64 (count,); ones, if nothing is given.

    Raises
    ------
    DataError
        If there are not as many as rows, or one is not a finite number above 0.
    """
    if sample_weight is None:
        return np.ones(count)
    weights = np.asarray(sample_weight, np.float64)
    if weights.shape != (count,) or not (np.isfinite(weights) & (weights > 0)).all():
        raise DataError(
            f"{count} rows need as many sample weights above 0; leave out rows that do not count."
        )
    return weights


def centre(block: Gram, train: Gram) -> Gram:
    """Return k between centred features, float64 (q, n): the mean over training rows is zero.

    Parameters
    ----------
    block : float64 (q, n)
        New rows against training rows, or ``train`` itself.
    train : float64 (n, n)
    """
    return np.asarray(KernelCenterer().fit(train).transform(block))


def unit_diagonal(block: Gram, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> Gram:
    """Return k(x, z) / sqrt(k(x, x) k(z, z)), float64 (q, n); zero where a k(x, x) is.

    Parameters
    ----------
    block : float64 (q, n)
    rows, columns : float64 (q,) and (n,)
        k(x, x) of the rows and k(z, z) of the columns: both its diagonal, for a Gram matrix.
    """
    sizes = np.sqrt(np.outer(rows, columns))
    return np.divide(block, sizes, out=np.zeros_like(block), where=sizes > 0)


def variance(gram: Gram, sample_weight: NDArray[np.float64] | None = None) -> float:
    """Return the variance of the rows in feature space: the mean of the centred diagonal.

    ``sample_weight`` (n,) is how often each row counts.

    Kernels divided by it are of one size, whatever their units (Kloft et al. 2011,
    multiplicative normalisation); being one number, it serves new rows too. A kernel that
    tells no rows apart has none.
    """
    if sample_weight is None:
        spread = float(np.diag(gram).mean() - gram.mean())
    else:
        shares = sample_weight / sample_weight.sum()
        spread = float(shares @ np.diag(gram) - shares @ gram @ shares)
    return spread if spread > 1e-12 * float(np.abs(np.diag(gram)).max()) else 0.0


def weighted_sum(grams: Sequence[Gram], weights: NDArray[np.float64]) -> Gram:
    """Return Σ_k w_k K_k, (n, n), leaving out what has no weight."""
    total = np.zeros_like(grams[0])
    for gram, weight in zip(grams, weights, strict=True):
        if weight:
            total += weight * gram
    return total


def unit_sum(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights with sum 1.

    Raises
    ------
    DataError
        If all are zero.
    """
    total = weights.sum()
    if not total > 0:
        raise DataError("No kernel tells the two classes apart; give it other features.")
    return np.asarray(weights / total)
