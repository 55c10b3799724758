"""The protocol ``retrieval``: rank every text for an image and every image for a text.

Image→text counts a hit if *any* of the image's texts is within the first K.
The rank of a query is that of its best true item: 1 + the number of other items
with a greater score + half the number with the same score. The *other items* are
those that are not true for this query: a true sibling is never a competitor. Equal
scores give the middle rank, so a collapsed model scores about chance, not 100 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.evaluation.blocks import ScoreBlocks, Truth, blocks_with_truth, check_truth, dot_blocks
from visita.evaluation.intervals import (
    RESAMPLES,
    Difference,
    Estimate,
    Groups,
    Statistic,
    Values,
    components,
    differences,
    estimates,
    group_sums,
    weighted_medians,
)
from visita.types import FloatArray

DIRECTIONS = ("image_to_text", "text_to_image")
CUTOFFS = (1, 5, 10)
METRICS = (*(f"R@{k}" for k in CUTOFFS), "MedR")
E = TypeVar("E", bound=Estimate)


@dataclass(frozen=True, slots=True, eq=False)
class Retrieval:
    """Ranks and metrics of both directions, for one matcher or one per training seed.

    Attributes
    ----------
    image_ranks : float64 (s, n)
        Rank of each image's best text, a row a training seed (s = 1 for one matcher).
    text_ranks : float64 (s, m)
        Rank of each text's best image.
    groups : Groups
        What is drawn together when images are resampled.
    metrics : mapping
        ``metrics[direction][name]`` → Estimate; R@K in percent, MedR in ranks.
    rsum : Estimate
        The sum of the six recalls, both directions.
    """

    image_ranks: NDArray[np.float64]
    text_ranks: NDArray[np.float64]
    groups: Groups = field(repr=False)
    metrics: Mapping[str, Mapping[str, Estimate]]
    rsum: Estimate

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Return ``{direction: {metric: {value, low, high}}, "rsum": {value, low, high}}``."""
        directions: dict[str, dict[str, object]] = {
            direction: {name: one.to_dict() for name, one in metrics.items()}
            for direction, metrics in self.metrics.items()
        }
        return {**directions, "rsum": {**self.rsum.to_dict()}}


def best_ranks(blocks: ScoreBlocks, truth: Truth) -> NDArray[np.float64]:
    """Return the rank of each query's best true item, float64 (q,), 1 is first.

    ``truth`` is csr bool (q, n). See the top of this file for ties and siblings.

    Raises
    ------
    DataError
        If a query has no true item, shapes disagree or a score is not finite.
    """
    ranks = np.empty(blocks.shape[0])
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
        tied_siblings = np.add.reduceat(true_scores == best[owners, 0], true.indptr[:-1], dtype=int)
        greater = (scores > best).sum(axis=1)
        ties = (scores == best).sum(axis=1) - tied_siblings
        ranks[rows] = 1 + greater + ties / 2
    return ranks


def recall_at(ranks: NDArray[np.float64], k: int) -> float:
    """Return the percentage of queries whose best true item is within the first ``k``."""
    return float(100 * np.mean(ranks <= k))


def recall_sum(*ranks: NDArray[np.float64]) -> float:
    """Return the sum of the recalls at ``CUTOFFS``, in percent; rsum, given both directions."""
    return sum(recall_at(one, k) for one in ranks for k in CUTOFFS)


def retrieval(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Retrieval:
    """Measure both directions with 95 % bootstrap intervals.

    Parameters
    ----------
    image_vectors, text_vectors : float32 (n, d), (m, d)
        Inner products are scores.
    truth : csr bool (n, m)
        Any number of texts an image and of images a text, at least one each.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    DataError
        As ``best_ranks``, or if all images hang together through shared texts.
    """
    truth = check_truth(truth, (len(image_vectors), len(text_vectors)))
    image_ranks = best_ranks(dot_blocks(image_vectors, text_vectors), truth)
    text_ranks = best_ranks(dot_blocks(text_vectors, image_vectors), truth.T.tocsr())
    groups = components(truth)
    return measure_ranks(
        image_ranks[None], text_ranks[None], groups, seed=seed, resamples=resamples
    )


def mean_over_seeds(
    runs: Sequence[Retrieval], *, seed: int, resamples: int = RESAMPLES
) -> Retrieval:
    """Join runs of several training seeds on the same split: metrics are means over them.

    The mean is taken before resampling, so the interval is that of the mean.

    Raises
    ------
    DataError
        If the runs did not measure the same split.
    """
    for run in runs[1:]:
        _check_same_split(runs[0], run)
    image_ranks = np.concatenate([run.image_ranks for run in runs])
    text_ranks = np.concatenate([run.text_ranks for run in runs])
    return measure_ranks(image_ranks, text_ranks, runs[0].groups, seed=seed, resamples=resamples)


def paired_retrieval(
    a: Retrieval, b: Retrieval, *, seed: int, resamples: int = RESAMPLES
) -> dict[str, dict[str, Difference] | Difference]:
    """Return b - a for every metric, keyed as ``Retrieval.to_dict``, on the same resamples.

    Raises
    ------
    DataError
        If the two did not measure the same split.
    """
    _check_same_split(a, b)
    first = rank_statistic(a.image_ranks, a.text_ranks, a.groups)
    second = rank_statistic(b.image_ranks, b.text_ranks, b.groups)
    found = differences(
        lambda weights: second(weights) - first(weights),
        a.groups.count,
        seed=seed,
        resamples=resamples,
    )
    metrics, rsum = by_name(found)
    return {**metrics, "rsum": rsum}


def measure_ranks(
    image_ranks: Values,
    text_ranks: Values,
    groups: Groups,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Retrieval:
    """Measure ranks that are known, as ``retrieval`` does: float64 (s, n) and (s, m), a row a seed.

    Raises
    ------
    DataError
        If all images hang together through shared texts.
    """
    statistic = rank_statistic(image_ranks, text_ranks, groups)
    found = estimates(statistic, groups.count, seed=seed, resamples=resamples)
    metrics, rsum = by_name(found)
    return Retrieval(image_ranks, text_ranks, groups, metrics, rsum)


def rank_statistic(image_ranks: Values, text_ranks: Values, groups: Groups) -> Statistic:
    """Return weights (r, groups) → the metrics of each direction, then rsum: (r, 9)."""
    directions = [
        _direction(image_ranks, groups.images, groups.count),
        _direction(text_ranks, groups.texts, groups.count),
    ]

    def statistic(weights: Values) -> Values:
        metrics = [direction(weights) for direction in directions]
        recalls = np.concatenate([values[:, : len(CUTOFFS)] for values in metrics], axis=1)
        return np.concatenate([*metrics, recalls.sum(axis=1, keepdims=True)], axis=1)

    return statistic


def _direction(ranks: Values, owners: NDArray[np.int64], count: int) -> Statistic:
    hits = 100 * (ranks[:, :, None] <= np.array(CUTOFFS)).mean(axis=0)  # (queries, cutoffs)
    sums, sizes = group_sums(hits, owners, count), np.bincount(owners, minlength=count)
    medians = [weighted_medians(run, owners) for run in ranks]

    def statistic(weights: Values) -> Values:
        recalls = weights @ sums / (weights @ sizes)[:, None]
        median = np.mean([one(weights) for one in medians], axis=0)
        return np.concatenate([recalls, median], axis=1)

    return statistic


def by_name(found: Sequence[E]) -> tuple[dict[str, dict[str, E]], E]:
    """Return ``{direction: {metric: …}}`` and rsum of the nine values of ``rank_statistic``."""
    width = len(METRICS)
    metrics = {
        direction: dict(zip(METRICS, found[width * i : width * (i + 1)], strict=True))
        for i, direction in enumerate(DIRECTIONS)
    }
    return metrics, found[-1]


def _check_same_split(a: Retrieval, b: Retrieval) -> None:
    if not (
        np.array_equal(a.groups.images, b.groups.images)
        and np.array_equal(a.groups.texts, b.groups.texts)
    ):
        raise DataError("The runs measured different images or texts; evaluate both on one split.")
