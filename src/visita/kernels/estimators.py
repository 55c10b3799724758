# ruff: noqa: N803, N806 - X and C are scikit-learn's names
"""Classifiers of two classes with several kernels: reading kernels, the SVM, ways to weigh them.

What they share, parameters and attributes included, is in ``MKLClassifier``. Wrap one in
scikit-learn's ``OneVsRestClassifier`` for more than two classes. As scikit-learn asks of an
estimator, they raise its own ``ValueError`` for arrays that cannot be learnt from.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.svm import SVC
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from visita.errors import ConfigError, DataError
from visita.kernels.alignment import align
from visita.kernels.easymkl import easy_mkl
from visita.kernels.functions import Combination, Gram, Kernel, Product
from visita.kernels.gram import Signs, check_problem, variance, weighted_sum
from visita.kernels.simplemkl import TOLERANCE, simple_mkl

Kernels = Sequence[Kernel | Product] | Literal["precomputed"]
DEFAULT = (
    Kernel(function="linear"),
    Kernel(function="polynomial", degree=2),
    Kernel(function="rbf"),
)


class MKLClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # sklearn has no types
    """An SVM whose kernel is a weighted sum; how it is weighed is for its subclasses.

    Parameters
    ----------
    kernels : sequence of Kernel or Product, or "precomputed", optional
        The default is ``DEFAULT``: linear, quadratic and Gaussian over all columns.
        Precomputed: X holds the Gram matrices along its last axis, (n, n, m) to fit, as from
        ``np.stack(grams, axis=-1)``, and (q, n, m), new rows against training rows, to predict.
        So it is cut into folds as scikit-learn cuts one Gram matrix (tag ``pairwise``).
    C : float
        What a unit of slack costs.
    normalise : bool
        Divide each kernel by its ``variance`` on the training rows, without which weights
        cannot be compared. Centring would change nothing: no classifier here sees it.
    probability : bool
        Learn ``predict_proba`` too: a sigmoid over decision values that five-fold
        cross-validation gives rows not learnt from (Platt, 1999). Fitting takes seven times as
        long, and each class needs five rows. Near 0.5 it may tell another class than ``predict``.

    Attributes
    ----------
    weights_ : dict of str to float
        The weight of each (normalised) kernel by its name, with sum 1.
    classes_ : (2,)
    combination_ : Combination
        The kernel found, normalisation included; not for precomputed ones.
    support_ : int (s,)
        The training rows that decide.
    dual_coef_ : float64 (s,)
        y_i β_i of these rows.
    intercept_ : float
    n_features_in_ : int
    """

    def __init__(
        self,
        kernels: Kernels | None = None,
        *,
        C: float = 1.0,
        normalise: bool = True,
        probability: bool = False,
    ) -> None:
        self.kernels = kernels
        self.C = C
        self.normalise = normalise
        self.probability = probability

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Learn the weights and the SVM from rows (n, d), or Gram matrices, and labels (n,).

        ``sample_weight`` (n,) is how often each row counts, from 0; None is once.

        Raises
        ------
        ValueError
            If X or y cannot be learnt from, or y has not exactly two classes.
        DataError
            If a kernel refuses its columns, a precomputed one is none, or no kernel tells
            the classes apart.
        """
        X, y = self._checked(X, y)
        rows, counts = _counted(X, sample_weight)
        signs = self._signs(y[rows])
        grams, names = self._grams(X, rows)
        scales = np.array([variance(gram, counts) if self.normalise else 1.0 for gram in grams])
        scales[scales == 0] = 1.0
        grams = [gram / scale for gram, scale in zip(grams, scales, strict=True)]
        weights = self._weigh(grams, signs, counts)
        svm = SVC(C=self.C, kernel="precomputed").fit(weighted_sum(grams, weights), signs, counts)
        self.weights_ = dict(zip(_unique(names), weights.tolist(), strict=True))
        self.support_, self.dual_coef_ = rows[svm.support_], svm.dual_coef_[0]
        self.intercept_ = float(svm.intercept_[0])
        self._factors, self._size = weights / scales, len(X)
        if not self._precomputed():
            factors = tuple(self._factors.tolist())
            self.combination_ = Combination(kernels=tuple(self._kernels()), weights=factors)
            self._support_rows = X[self.support_]
        if self.probability:
            alone = clone(self).set_params(probability=False)
            calibrated = CalibratedClassifierCV(alone, ensemble=False)
            self._calibrated = calibrated.fit(X, y, sample_weight=sample_weight)
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return f(x), float64 (q,): above 0 for the second of ``classes_``.

        Raises
        ------
        ValueError
            If X does not fit what was learnt from.
        DataError
            If precomputed blocks do not.
        """
        check_is_fitted(self)
        if self._precomputed():
            blocks = np.moveaxis(self._blocks(X)[:, self.support_], -1, 0)
            block = weighted_sum(list(blocks), self._factors)
        else:
            X = validate_data(self, X, dtype=np.float64, reset=False)
            block = self.combination_(X, self._support_rows)
        return np.asarray(block @ self.dual_coef_ + self.intercept_)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row, (q,); raises as ``decision_function``."""
        positive = self.decision_function(X) > 0
        return np.asarray(self.classes_[positive.astype(int)])

    @available_if(lambda self: self.probability)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return P(class) of each row, float64 (q, 2), calibrated; see ``probability``."""
        check_is_fitted(self)
        return np.asarray(self._calibrated.predict_proba(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.pairwise = self._precomputed()
        tags.input_tags.three_d_array = self._precomputed()
        return tags

    @abstractmethod
    def _weigh(
        self, grams: list[Gram], signs: Signs, counts: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Return the weights, having refused precomputed matrices that are no kernels.

        ``counts`` (n,), above 0, is how often each row counts; None is once.
        """

    def _checked(self, X: Any, y: Any) -> tuple[NDArray[np.float64], NDArray[Any]]:
        if not self._precomputed():
            return validate_data(self, X, y, dtype=np.float64)  # type: ignore[no-any-return]
        X, y = np.asarray(X, np.float64), column_or_1d(y, warn=True)
        if X.ndim != 3 or X.shape[:2] != (len(y), len(y)):
            raise DataError(
                f"Precomputed kernels of {len(y)} rows are an array ({len(y)}, {len(y)}, kernels), "
                f"as np.stack(grams, axis=-1) makes it, not {X.shape}."
            )
        return X, y

    def _grams(
        self, X: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> tuple[list[Gram], list[str]]:
        """Return the Gram matrices of some rows, and the kernels' names."""
        if self._precomputed():
            grams = list(np.ascontiguousarray(np.moveaxis(X[np.ix_(rows, rows)], -1, 0)))
            names = [f"kernel {k + 1}" for k in range(len(grams))]
        else:
            grams = [kernel(X[rows]) for kernel in self._kernels()]
            names = [kernel.name for kernel in self._kernels()]
        if not grams:
            raise ConfigError("There are no kernels to weigh; give at least one.")
        return grams, names

    def _precomputed(self) -> bool:
        return isinstance(self.kernels, str) and self.kernels == "precomputed"

    def _kernels(self) -> Sequence[Kernel | Product]:
        if isinstance(self.kernels, str):
            raise ConfigError(
                f"kernels is a sequence of Kernel or 'precomputed', not {self.kernels!r}."
            )
        return DEFAULT if self.kernels is None else self.kernels

    def _signs(self, y: Any) -> Signs:
        check_classification_targets(y)
        kind = type_of_target(y, input_name="y", raise_unknown=True)
        if kind != "binary":
            raise ValueError(
                f"Only binary classification is supported. The type of the target is {kind}; "
                "wrap this classifier in sklearn.multiclass.OneVsRestClassifier."
            )
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("All labels are of one class; learning needs two.")
        return np.where(codes == 1, 1.0, -1.0)

    def _blocks(self, X: Any) -> NDArray[np.float64]:
        blocks = np.asarray(X, np.float64)
        expected = self._size, len(self._factors)
        if blocks.ndim != 3 or blocks.shape[1:] != expected:
            raise DataError(
                f"Precomputed kernels are an array (new rows, {expected[0]} training rows, "
                f"{expected[1]} kernels), not {blocks.shape}."
            )
        if not np.isfinite(blocks).all():
            raise DataError("A precomputed kernel holds NaN or infinite values.")
        return blocks


def _counted(
    X: NDArray[np.float64], sample_weight: Any
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """Return the rows that count, and how often; None is once."""
    if sample_weight is None:
        return np.arange(len(X)), None
    counts = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
    rows = np.flatnonzero(counts)
    return rows, counts[rows]


def _unique(names: Sequence[str]) -> list[str]:
    total, seen = Counter(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} #{seen[name]}" if total[name] > 1 else name)
    return unique


Counts = NDArray[np.float64] | None


class UniformMKL(MKLClassifier):
    """The mean of the kernels: what every other way has to beat.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from visita.kernels import UniformMKL
    >>> rows, labels = make_moons(60, noise=0.1, random_state=0)
    >>> [round(weight, 2) for weight in UniformMKL().fit(rows, labels).weights_.values()]
    [0.33, 0.33, 0.33]
    """

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
    """Weights by centred alignment with the labels, ``align``.

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from visita.kernels import AlignmentMKL
    >>> rows, labels = make_moons(60, noise=0.1, random_state=0)
    >>> round(sum(AlignmentMKL().fit(rows, labels).weights_.values()), 6)
    1.0
    """

    def _weigh(self, grams: list[Gram], signs: Signs, counts: Counts) -> NDArray[np.float64]:
        return align(grams, signs, sample_weight=counts)


class EasyMKL(MKLClassifier):
    """Weights by the margin of the classes' hulls, ``easy_mkl``.

    Parameters
    ----------
    regularisation : float
        λ, in (0, 1].

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from visita.kernels import EasyMKL
    >>> rows, labels = make_moons(60, noise=0.1, random_state=0)
    >>> EasyMKL(regularisation=0.5).fit(rows, labels).predict(rows[:3]).tolist()
    [0, 1, 1]
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

    Examples
    --------
    >>> from sklearn.datasets import make_moons
    >>> from visita.kernels import Kernel, SimpleMKL
    >>> rows, labels = make_moons(60, noise=0.1, random_state=0)
    >>> kernels = (Kernel(function="linear"), Kernel(function="rbf", gamma=2.0))
    >>> learnt = SimpleMKL(kernels, C=10.0).fit(rows, labels)
    >>> max(learnt.weights_, key=learnt.weights_.get), float(learnt.score(rows, labels))
    ('rbf(gamma=2)', 1.0)
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
        fitted = simple_mkl(
            grams,
            signs,
            C=self.C,
            tolerance=self.tolerance,
            max_iter=self.max_iter,
            sample_weight=counts,
        )
        self.objective_, self.gap_, self.n_iter_ = fitted.objective, fitted.gap, fitted.iterations
        return fitted.weights
