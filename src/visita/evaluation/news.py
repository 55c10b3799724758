"""The protocol ``newsimages``: which picture was published with an article?

MRR@100 and mean recall at 5, 10, 50 and 100, as the organisers of MediaEval NewsImages compute
them: each article lists 100 pictures, and has one of its own; the reciprocal of its place, 0 where
it is not listed, and whether it is among the first K, are averaged over all articles. Here they
are in percent, so 100 times theirs. Equal scores count as the mean over their orders.

Source: A. Lommatzsch, B. Kille, Ö. Özgöbek, M. Elahi, D.-T. Dang-Nguyen, NewsImages in MediaEval,
2021 to 2023, and its evaluator.
"""

from __future__ import annotations

import numpy as np

from visita.evaluation.intervals import Groups, estimates, mean_statistic
from visita.evaluation.ranks import Ranks, hits

NEWSIMAGES = "newsimages"
LISTED = 100
"""Pictures that an article lists."""
CUTOFFS = (5, 10, 50, 100)


def news(ranks: Ranks, groups: Groups, *, seed: int) -> dict[str, dict[str, float]]:
    """Return ``{metric: {value, low, high}}``, in percent, with 95 % bootstrap intervals.

    Parameters
    ----------
    ranks : int64 (m, 3)
        Of each article's picture among all.

    Raises
    ------
    DataError
        If all images hang together through shared texts.
    """
    within = hits(ranks, range(1, 1 + LISTED))
    at = np.diff(within, axis=1, prepend=0)
    reciprocal = at @ (1 / np.arange(1, 1 + LISTED))
    recalls = within[:, [k - 1 for k in CUTOFFS]]
    values = 100 * np.column_stack([reciprocal, recalls])
    statistic = mean_statistic(values, groups.texts)
    found = estimates(statistic, int(groups.texts.max()) + 1, seed=seed)
    names = (f"MRR@{LISTED}", *(f"mean recall@{k}" for k in CUTOFFS))
    return {name: one.to_dict() for name, one in zip(names, found, strict=True)}
