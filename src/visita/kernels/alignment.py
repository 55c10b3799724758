"""Kernel weights by centred alignment: how well kernels agree with the labels.

Cortes, Mohri & Rostamizadeh (2012), "Algorithms for learning kernels based on centered
alignment", JMLR 13.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from scipy.optimize import nnls

from visita.kernels.functions import Gram
from visita.kernels.gram import Signs, centre, check_problem, check_weights, unit_sum, variance


def centred_alignment(gram: Gram, other: Gram) -> float:
    """Return the cosine of two centred Gram matrices (n, n), 0 to 1; 0 if one is constant."""
    if not (variance(gram) and variance(other)):
        return 0.0
    first, second = centre(gram, gram), centre(other, other)
    return float(np.vdot(first, second) / (linalg.norm(first) * linalg.norm(second)))


def align(
    grams: Sequence[ArrayLike], signs: ArrayLike, *, sample_weight: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return the weights, float64 (m,) with sum 1, whose sum of kernels aligns best with yyᵀ.

    With M_kl = <K_k, K_l> and a_k = <K_k, yyᵀ> of centred Gram matrices they are M⁻¹a in
    closed form where no weight of it is negative, and the minimiser of wᵀMw - 2aᵀw over
    w >= 0 otherwise (propositions 8 and 9, ``alignf``). Correlated kernels share a weight.

    Parameters
    ----------
    grams : m of (n, n)
    signs : (n,)
        1 and -1.
    sample_weight : (n,) or None
        How often each row counts, above 0; None is once.

    Raises
    ------
    DataError
        As ``check_problem``; or if no kernel agrees with the labels at all.
    """
    checked, labels = check_problem(grams, signs)
    counts = check_weights(sample_weight, len(labels))
    weights = np.zeros(len(checked))
    varying = np.flatnonzero([variance(gram, counts) for gram in checked])
    if len(varying):
        roots = np.sqrt(counts)
        weights[varying] = _best([_repeated(checked[k], roots) for k in varying], roots * labels)
    return unit_sum(weights)


def _repeated(gram: Gram, roots: NDArray[np.float64]) -> Gram:
    """Return the centred matrix of rows that count ``roots`` ** 2 times, folded onto one of each.

    Its inner products with another, or with labels times ``roots``, are those of all copies.
    """
    shares = roots**2 / (roots @ roots)
    means = shares @ gram
    return np.asarray((gram - means - means[:, None] + shares @ means) * np.outer(roots, roots))


def _best(centred: list[Gram], signs: Signs) -> NDArray[np.float64]:
    """Return argmin wᵀMw - 2aᵀw over w >= 0, by nnls with a root of M, which may be singular."""
    sizes = np.array([linalg.norm(gram) for gram in centred])
    agreements = np.array([signs @ gram @ signs for gram in centred]) / sizes
    products = np.array([[np.vdot(first, second) for second in centred] for first in centred])
    values, vectors = linalg.eigh(products / np.outer(sizes, sizes))
    nonzero = values > 1e-10 * values[-1]
    root = np.sqrt(values[nonzero])
    target = (agreements @ vectors[:, nonzero]) / root
    return np.asarray(nnls(root[:, None] * vectors[:, nonzero].T, target)[0] / sizes)
