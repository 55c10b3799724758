"""Kernel weights by EasyMKL: how far each kernel keeps the two classes apart.

Aiolli & Donini (2015), "EasyMKL: a scalable multiple kernel learning algorithm",
Neurocomputing 169.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.svm import SVC

from visita.errors import ConfigError
from visita.kernels.gram import check_problem, check_weights, unit_sum, variance

PRECISION = 1e-6


def easy_mkl(
    grams: Sequence[ArrayLike],
    signs: ArrayLike,
    *,
    regularisation: float = 0.1,
    sample_weight: ArrayLike | None = None,
) -> NDArray[np.float64]:
    """Return kernel weights, float64 (m,) with sum 1.

    w_k is proportional to γᵀYK_kYγ, where γ minimises (1 - λ) γᵀY(Σ_k K_k)Yγ + λ‖γ‖² over
    points γ that are a distribution on each class: the distance between the two
    classes' (shrunken) convex hulls.

    Parameters
    ----------
    grams : m of (n, n)
    signs : (n,)
        1 and -1.
    regularisation : float
        λ, above 0, up to 1: with 1 the classes' means are compared.
    sample_weight : (n,) or None
        How often each row counts, above 0; None is once.

    Raises
    ------
    DataError
        As ``check_problem``; or if no kernel tells the classes apart.
    ConfigError
        If λ is out of range.
    """
    if not 0 < regularisation <= 1:
        raise ConfigError(f"EasyMKL's regularisation is in (0, 1], not {regularisation}.")
    checked, labels = check_problem(grams, signs)
    counts = check_weights(sample_weight, len(labels))
    total = (1 - regularisation) * np.sum(checked, axis=0)
    # Copies of a row share its part of γ evenly.
    total.flat[:: len(total) + 1] += regularisation / counts
    # The nearest points of two hulls are a hard-margin SVM up to scale, Σα = 4 / distance².
    # As the distance² is at least λ‖γ‖² >= 4λ / n, no α reaches this C.
    svm = SVC(C=counts.sum() / regularisation, kernel="precomputed", tol=PRECISION)
    svm.fit(total, labels)
    point, support = svm.dual_coef_[0], svm.support_
    sizes = [
        point @ gram[np.ix_(support, support)] @ point if variance(gram) else 0.0
        for gram in checked
    ]
    return unit_sum(np.maximum(sizes, 0))
