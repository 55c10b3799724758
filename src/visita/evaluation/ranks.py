"""Ranks, and what is expected of them where scores are equal.

The rank of a query is that of its best true item: 1 + the number of *other* items that come
before it, those that are not true for this query. A true sibling is never a competitor. Items
with one score come in any order, so whatever is measured is the expectation over all orders of
what is tied: what the mean over many shuffles of the items comes to. So a collapsed model has
the recall of chance.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from visita.errors import DataError
from visita.evaluation.blocks import BothWays, ScoreBlocks, Truth, blocks_with_truth
from visita.evaluation.intervals import Statistic, Values, group_sums, weighted_medians

Ranks = NDArray[np.int64]
"""int64 (…, 3), of a query's best true item: how many others score more, how many others score
the same, and how many true items do, itself among them."""
_EVERY = 1000
"""Ranks up to this are told apart in a median under ties, and a thousand of those above."""
_SPREAD = 1e-6
"""A smaller standard deviation is none, but rounding."""


def best_ranks(blocks: ScoreBlocks, truth: Truth) -> Ranks:
    """Return the rank of each query's best true item, int64 (q, 3), as ``Ranks``.

    ``truth`` is csr bool (q, n).

    Raises
    ------
    DataError
        If a query has no true item, shapes disagree or a score is not finite.
    """
    ranks = np.empty((blocks.shape[0], 3), np.int64)
    for rows, scores, true in blocks_with_truth(blocks, truth):
        lengths = np.diff(true.indptr)
        if not lengths.all():
            query = rows.start + int(np.argmin(lengths))
            raise DataError(
                f"Query {query} has no true item, so it has no rank; "
                "leave out images without texts and texts without images."
            )
        owners = np.repeat(np.arange(len(lengths)), lengths)
        true_scores = scores[owners, true.indices]
        best = np.maximum.reduceat(true_scores, true.indptr[:-1])[:, None]
        siblings = np.add.reduceat(true_scores == best[owners, 0], true.indptr[:-1], dtype=int)
        greater, equal = (scores > best).sum(axis=1), (scores == best).sum(axis=1)
        ranks[rows] = np.stack([greater, equal - siblings, siblings], axis=1)
    return ranks


def ranks_both_ways(ways: BothWays, truth: Truth) -> tuple[Ranks, Ranks]:
    """Return the ranks of each image's best text, (n, 3), and of each text's best image, (m, 3).

    ``truth`` is csr bool (n, m).
    """
    return best_ranks(ways[0], truth), best_ranks(ways[1], truth.T.tocsr())


def hits(ranks: Ranks, cutoffs: Sequence[int]) -> Values:
    """Return how probably each rank is within each cutoff: float64 (…, cutoffs), 0 or 1 untied.

    By the hypergeometric distribution: a query misses if the places that are left for what is
    tied all go to others.
    """
    greater, tied, true = (counts[..., None] for counts in np.moveaxis(ranks, -1, 0))
    left = np.asarray(cutoffs) - greater
    missed = np.ones(left.shape)
    for nth in range(1, 1 + int(true[tied > 0].max(initial=1))):
        others = np.clip(tied - left + nth, 0, tied + nth) / (tied + nth)
        missed *= np.where(nth <= true, others, 1)
    return 1 - missed


def mean_ranks(ranks: Ranks) -> Values:
    """Return each rank's expectation, float64 (…): 1 + greater + equal / (true ones + 1)."""
    greater, tied, true = np.moveaxis(ranks, -1, 0)
    return np.asarray(1 + greater + tied / (true + 1), np.float64)


def recall_at(ranks: Ranks, k: int) -> float:
    """Return the percentage of queries whose best true item is within the first ``k``."""
    return float(100 * np.mean(hits(ranks, [k])))


def median_ranks(ranks: Ranks, owners: NDArray[np.int64]) -> Statistic:
    """Return weights (r, groups) → the median rank of the drawn queries, (r, 1).

    Under ties it is the median's expectation, each query's tied items being ordered by
    themselves; how many ranks are within a number is then taken to be normally distributed.

    Parameters
    ----------
    ranks : int64 (q, 3)
    owners : int64 (q,)
        The group of each query; it may be drawn several times, with one order.
    """
    greater, tied, _ = ranks.T
    if not tied.any():
        return weighted_medians(1.0 + greater, owners)
    places = _places(int((greater + tied).max()) + 1)
    within = hits(ranks, places.tolist())
    groups, sizes = np.unique(owners, return_counts=True)
    own = np.searchsorted(groups, owners)
    means, variances = group_sums(within, own), group_sums(within * (1 - within), own)

    def statistic(weights: Values) -> Values:
        drawn = weights[:, groups]
        total = (drawn @ sizes)[:, None]
        mean, spread = drawn @ means, np.sqrt(drawn**2 @ variances)
        medians = [
            _expected(_fewer(mean, spread, np.floor(half) + 1), places)
            for half in ((total - 1) / 2, total / 2)
        ]
        return np.asarray(np.mean(medians, axis=0)[:, None])

    return statistic


def _places(last: int) -> NDArray[np.int64]:
    """Return ranks from 0 to ``last``, all of the first and ever fewer after those."""
    every = np.arange(min(_EVERY, last) + 1)
    rest = np.geomspace(_EVERY, max(last, _EVERY), _EVERY)
    return np.unique(np.append(every, np.round(rest[rest <= last]))).astype(np.int64)


def _fewer(mean: Values, spread: Values, count: Values) -> Values:
    """Return how probably fewer than ``count`` ranks are within each place, (r, places)."""
    above = count - 0.5 - mean
    sure = np.copysign(np.inf, above)
    return np.asarray(ndtr(np.divide(above, spread, out=sure, where=spread > _SPREAD)))


def _expected(beyond: Values, places: NDArray[np.int64]) -> Values:
    """Return the mean of a whole number that is beyond each place with these probabilities."""
    return np.asarray(0.5 + np.trapezoid(beyond, places, axis=1))
