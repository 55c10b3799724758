"""C and the set of kernels, chosen by cross-validation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import ArrayLike
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold, StratifiedKFold

from visita.brief import Brief
from visita.errors import ConfigError
from visita.kernels.estimators import MKLClassifier
from visita.kernels.functions import Kernel, Product


@dataclass(frozen=True, slots=True)
class Trial:
    """One C with one set of kernels; accuracies in percent, means over folds.

    Attributes
    ----------
    kernels : str
        Name of the set.
    C : float
    train : float
        On the rows learnt from: far above ``validation``, it overfits; both low, it underfits.
    validation : float
        On the rows held out.
    deviation : float
        Standard deviation of ``validation`` over folds.
    """

    kernels: str
    C: float
    train: float
    validation: float
    deviation: float


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Selection(Brief):
    """What cross-validation chose.

    Attributes
    ----------
    estimator : MKLClassifier
        With the best C and kernels, fitted on all rows.
    best : Trial
    trials : of Trial
        All of them, the best validation accuracy first.
    """

    estimator: MKLClassifier
    best: Trial
    trials: tuple[Trial, ...]


def select(
    estimator: MKLClassifier,
    rows: ArrayLike,
    labels: ArrayLike,
    *,
    C: Sequence[float],  # noqa: N803 - the field's name for it
    kernel_sets: Mapping[str, Sequence[Kernel | Product]],
    groups: ArrayLike | None = None,
    folds: int = 5,
    seed: int,
) -> Selection:
    """Try every C with every set of kernels and keep the best mean accuracy over folds.

    Parameters
    ----------
    rows : (n, d)
    labels : (n,)
    groups : (n,) or None
        Rows of one group stay in one fold, such as ``MatchPairs.groups``.
    folds : int
        Stratified, shuffled by ``seed``.

    Raises
    ------
    ConfigError
        If there is no C or no set of kernels to try.
    ValueError
        If the rows cannot be split or learnt from, as scikit-learn has it.
    """
    if not len(C) or not kernel_sets:
        raise ConfigError("Selection needs at least one C and one set of kernels to try.")
    splitter = StratifiedKFold if groups is None else StratifiedGroupKFold
    sets = {tuple(kernels): name for name, kernels in kernel_sets.items()}
    search = GridSearchCV(
        estimator,
        {"C": list(C), "kernels": list(sets)},
        cv=splitter(folds, shuffle=True, random_state=seed),
        scoring="accuracy",
        return_train_score=True,
        error_score="raise",
    ).fit(rows, labels, groups=groups)
    trials = [
        Trial(sets[tried["kernels"]], tried["C"], 100 * train, 100 * validation, 100 * deviation)
        for tried, train, validation, deviation in _results(search.cv_results_)
    ]
    best = trials[search.best_index_]
    ranked = sorted(trials, key=lambda trial: -trial.validation)
    return Selection(search.best_estimator_, best, tuple(ranked))


def _results(cv_results: Mapping[str, Any]) -> Any:
    names = ("mean_train_score", "mean_test_score", "std_test_score")
    return zip(cv_results["params"], *(cv_results[name].tolist() for name in names), strict=True)
