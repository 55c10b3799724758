"""Average precision and AUC of a two-class ranking, for many weightings at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visita.evaluation.intervals import Statistic, Values


def ranking_metrics(
    scores: Values, labels: NDArray[np.bool_], groups: NDArray[np.int64]
) -> Statistic:
    """Return weights (r, groups) → mAP of the two classes and AUC, (r, 2), between 0 and 1.

    Equal to scikit-learn's with ``sample_weight=weights[groups]``, but sorts only once.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, labels, owners = scores[order], labels[order], groups[order]
    ends = np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))

    def statistic(weights: Values) -> Values:
        drawn = weights[:, owners]
        # From the top down to and including each distinct score: (r, distinct scores).
        true = np.cumsum(drawn * labels, axis=1)[:, ends]
        false = np.cumsum(drawn * ~labels, axis=1)[:, ends]
        true_steps = np.diff(true, axis=1, prepend=0)
        false_steps = np.diff(false, axis=1, prepend=0)
        all_true, all_false = true[:, -1:], false[:, -1:]
        # The same from the bottom up.
        true_below = all_true - true + true_steps
        false_below = all_false - false + false_steps
        match = (true_steps * _share(true, false)).sum(axis=1, keepdims=True) / all_true
        no_match = (false_steps * _share(false_below, true_below)).sum(axis=1, keepdims=True)
        beaten = (true_steps * (false_below - false_steps / 2)).sum(axis=1, keepdims=True)
        mean_precision = (match + no_match / all_false) / 2
        return np.concatenate([mean_precision, beaten / (all_true * all_false)], axis=1)

    return statistic


def _share(part: Values, rest: Values) -> Values:
    return part / np.maximum(part + rest, 1)  # weights are whole numbers: 0 stays 0
