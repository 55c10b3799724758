# ruff: noqa: N803, N806 - X and C are scikit-learn's names
"""What the classifiers with several kernels share: reading kernels, the SVM, predicting.

Wrap one in scikit-learn's ``OneVsRestClassifier`` for more than two classes. As
scikit-learn asks of an estimator, they raise its own ``ValueError`` for arrays that cannot
be learnt from.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.svm import SVC
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data

from visita.errors import ConfigError, DataError
from visita.kernels.functions import Combination, Gram, Kernel, Product
from visita.kernels.gram import Signs, variance, weighted_sum

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
        Precomputed: X is one Gram matrix a kernel, (m, n, n) to fit and (m, q, n), new rows
        against training rows, to predict.
    C : float
        What a unit of slack costs.
    normalise : bool
        Divide each kernel by its ``variance`` on the training rows, without which weights
        cannot be compared. Centring would change nothing: no classifier here sees it.

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
    ) -> None:
        self.kernels = kernels
        self.C = C
        self.normalise = normalise

    def fit(self, X: Any, y: Any) -> Self:
        """Learn the weights and the SVM from rows (n, d), or Gram matrices, and labels (n,).

        Raises
        ------
        ValueError
            If X or y cannot be learnt from, or y has not exactly two classes.
        DataError
            If a kernel refuses its columns, a precomputed one is none, or no kernel tells
            the classes apart.
        """
        if self._precomputed():
            grams = [np.asarray(gram, np.float64) for gram in X]
            y = column_or_1d(y, warn=True)
            names = [f"kernel {k + 1}" for k in range(len(grams))]
        else:
            X, y = validate_data(self, X, y, dtype=np.float64)
            grams = [kernel(X) for kernel in self._kernels()]
            names = [kernel.name for kernel in self._kernels()]
        if not grams:
            raise ConfigError("There are no kernels to weigh; give at least one.")
        signs = self._signs(y)
        scales = np.array([variance(gram) if self.normalise else 1.0 for gram in grams])
        scales[scales == 0] = 1.0
        grams = [gram / scale for gram, scale in zip(grams, scales, strict=True)]
        weights = self._weigh(grams, signs)
        svm = SVC(C=self.C, kernel="precomputed").fit(weighted_sum(grams, weights), signs)
        self.weights_ = dict(zip(_unique(names), weights.tolist(), strict=True))
        self.support_, self.dual_coef_ = svm.support_, svm.dual_coef_[0]
        self.intercept_ = float(svm.intercept_[0])
        if self._precomputed():
            self._factors, self._size = weights / scales, len(grams[0])
        else:
            factors = tuple((weights / scales).tolist())
            self.combination_ = Combination(kernels=tuple(self._kernels()), weights=factors)
            self._support_rows = X[self.support_]
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
            block = weighted_sum(self._blocks(X), self._factors)[:, self.support_]
        else:
            X = validate_data(self, X, dtype=np.float64, reset=False)
            block = self.combination_(X, self._support_rows)
        return np.asarray(block @ self.dual_coef_ + self.intercept_)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class of each row, (q,); raises as ``decision_function``."""
        positive = self.decision_function(X) > 0
        return np.asarray(self.classes_[positive.astype(int)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        return tags

    @abstractmethod
    def _weigh(self, grams: list[Gram], signs: Signs) -> NDArray[np.float64]:
        """Return the weights, having refused precomputed matrices that are no kernels."""

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

    def _blocks(self, X: Any) -> list[Gram]:
        blocks = [np.asarray(block, np.float64) for block in X]
        shapes = {block.shape for block in blocks}
        fits = len(blocks) == len(self._factors) and len(shapes) == 1
        if not fits or blocks[0].ndim != 2 or blocks[0].shape[1] != self._size:
            raise DataError(
                f"Precomputed kernels come as {len(self._factors)} blocks (new rows, "
                f"{self._size} training rows), not as {len(blocks)} of {sorted(shapes)}."
            )
        if not all(np.isfinite(block).all() for block in blocks):
            raise DataError("A precomputed kernel holds NaN or infinite values.")
        return blocks


def _unique(names: Sequence[str]) -> list[str]:
    total, seen = Counter(names), Counter[str]()
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(f"{name} #{seen[name]}" if total[name] > 1 else name)
    return unique
