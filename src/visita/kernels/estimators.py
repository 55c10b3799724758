# ruff: noqa: N803 - C is scikit-learn's name
"""The ways to weigh kernels as scikit-learn classifiers of two classes.

What they share, parameters and attributes included, is in ``MKLClassifier``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visita.kernels.alignment import align
from visita.kernels.classifier import Kernels, MKLClassifier
from visita.kernels.easymkl import easy_mkl
from visita.kernels.functions import Gram
from visita.kernels.gram import Signs, check_problem
from visita.kernels.simplemkl import TOLERANCE, simple_mkl

Counts = NDArray[np.float64] | None


class UniformMKL(MKLClassifier):
    """The mean of the kernels: what every other way has to beat."""

    def _weigh(
        self,
        grams: list[Gram],
        signs: Signs,
        counts: Counts,  # noqa: ARG002 - the mean is the same however often a row counts
    ) -> NDArray[np.float64]:
        if self._precomputed():
            check_problem(grams, signs)
        return np.ones(len(grams)) / len(grams)


class AlignmentMKL(MKLClassifier):
    """Weights by centred alignment with the labels, ``align``."""

    def _weigh(self, grams: list[Gram], signs: Signs, counts: Counts) -> NDArray[np.float64]:
        return align(grams, signs, sample_weight=counts)


class EasyMKL(MKLClassifier):
    """Weights by the margin of the classes' hulls, ``easy_mkl``.

    Parameters
    ----------
    regularisation : float
        λ, in (0, 1].
    """

    def __init__(
        self,
        kernels: Kernels | None = None,
        *,
        C: float = 1.0,
        normalise: bool = True,
        probability: bool = False,
        regularisation: float = 0.1,
    ) -> None:
        super().__init__(kernels, C=C, normalise=normalise, probability=probability)
        self.regularisation = regularisation

    def _weigh(self, grams: list[Gram], signs: Signs, counts: Counts) -> NDArray[np.float64]:
        return easy_mkl(grams, signs, regularisation=self.regularisation, sample_weight=counts)


class SimpleMKL(MKLClassifier):
    """Weights and SVM learnt together, ``simple_mkl``.

    Parameters
    ----------
    tolerance : float
        Duality gap at which it stops, as a part of the objective; a ``ConvergenceWarning``
        tells where ``max_iter`` came first.
    max_iter : int

    Attributes
    ----------
    objective_, gap_ : float
        Value of eq. 1, and how much lower it could be at most.
    n_iter_ : int
    """

    def __init__(
        self,
        kernels: Kernels | None = None,
        *,
        C: float = 1.0,
        normalise: bool = True,
        probability: bool = False,
        tolerance: float = TOLERANCE,
        max_iter: int = 200,
    ) -> None:
        super().__init__(kernels, C=C, normalise=normalise, probability=probability)
        self.tolerance = tolerance
        self.max_iter = max_iter

    def _weigh(self, grams: list[Gram], signs: Signs, counts: Counts) -> NDArray[np.float64]:
        found = simple_mkl(
            grams,
            signs,
            C=self.C,
            tolerance=self.tolerance,
            max_iter=self.max_iter,
            sample_weight=counts,
        )
        self.objective_, self.gap_, self.n_iter_ = found.objective, found.gap, found.iterations
        return found.weights
