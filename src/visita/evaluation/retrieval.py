"""The protocol ``retrieval``: rank every text for an image and every image for a text.

Image→text counts a hit if *any* of the image's texts is within the first K. Ranks, also of
equal scores, are those of ``ranks.py``.

It may be the mean over folds, disjoint and in the order of the images, each a gallery of its own
with all texts of its images: COCO's 1K protocol is its 5,000 test images in five folds (A.
Karpathy, L. Fei-Fei, Deep Visual-Semantic Alignments, CVPR 2015), its 5K protocol all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from visita.brief import Brief
from visita.errors import ConfigError, DataError
from visita.evaluation.blocks import (
    BothWays,
    Truth,
    check_truth,
    scores_both_ways,
    vectors_both_ways,
)
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
    mean_estimates,
)
from visita.evaluation.ranks import Ranks, hits, median_ranks, ranks_both_ways, recall_at
from visita.types import FloatArray

DIRECTIONS = ("image_to_text", "text_to_image")
CUTOFFS = (1, 5, 10)
METRICS = (*(f"R@{k}" for k in CUTOFFS), "MedR")
E = TypeVar("E", bound=Estimate)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Retrieval(Brief):
    """Ranks and metrics of both directions, for one matcher or one per training seed.

    Attributes
    ----------
    image_ranks : int64 (s, n, 3)
        ``Ranks`` of each image's best text, a row a training seed (s = 1 for one matcher).
    text_ranks : int64 (s, m, 3)
        Those of each text's best image.
    groups : Groups
        What is drawn together when images are resampled.
    metrics : mapping
        ``metrics[direction][name]`` → Estimate; R@K in percent, MedR in ranks.
    rsum : Estimate
        The sum of the six recalls, both directions.
    """

    image_ranks: Ranks
    text_ranks: Ranks
    groups: Groups = field(repr=False)
    metrics: Mapping[str, Mapping[str, Estimate]]
    rsum: Estimate

    def to_dict(self) -> dict[str, dict[str, object]]:
        """Return ``{direction: {metric: {value, low, high}}, "rsum": {value, low, high}}``."""
        return {**_by_direction(self.metrics), "rsum": {**self.rsum.to_dict()}}


def _by_direction(metrics: Mapping[str, Mapping[str, Estimate]]) -> dict[str, dict[str, object]]:
    return {
        direction: {name: estimate.to_dict() for name, estimate in by_metric.items()}
        for direction, by_metric in metrics.items()
    }


def recall_sum(*ranks: Ranks) -> float:
    """Return the sum of the recalls at ``CUTOFFS``, in percent; rsum, given both directions."""
    return sum(recall_at(of_direction, k) for of_direction in ranks for k in CUTOFFS)


def rsum(ways: BothWays, truth: Truth) -> float:
    """Return the sum of the six recalls of images and texts, ``truth`` csr bool (n, m)."""
    return recall_sum(*ranks_both_ways(ways, truth))


def rsum_of_vectors(truth: Truth) -> Callable[[FloatArray, FloatArray], float]:
    """Return what maps vectors of images (n, d) and texts (m, d) to their rsum."""
    return lambda images, texts: rsum(vectors_both_ways(images, texts), truth)


def rsum_of_scores(truth: Truth) -> Callable[[FloatArray], float]:
    """Return what maps scores of images and texts, (n, m), to their rsum."""
    return lambda scores: rsum(scores_both_ways(scores), truth)


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
    images, texts = ranks_both_ways(vectors_both_ways(image_vectors, text_vectors), truth)
    groups = components(truth)
    return measure_ranks(images[None], texts[None], groups, seed=seed, resamples=resamples)


def mean_over_seeds(runs: Sequence[Retrieval], *, seed: int) -> Retrieval:
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
    return measure_ranks(image_ranks, text_ranks, runs[0].groups, seed=seed)


def paired_retrieval(
    a: Retrieval, b: Retrieval, *, seed: int
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
    gains = differences(lambda weights: second(weights) - first(weights), a.groups.count, seed=seed)
    metrics, rsum = by_name(gains)
    return {**metrics, "rsum": rsum}


def measure_ranks(
    image_ranks: Ranks, text_ranks: Ranks, groups: Groups, *, seed: int, resamples: int = RESAMPLES
) -> Retrieval:
    """Measure ranks that are known, as ``retrieval`` does: int64 (s, n, 3) and (s, m, 3).

    Raises
    ------
    DataError
        If all images hang together through shared texts.
    """
    statistic = rank_statistic(image_ranks, text_ranks, groups)
    measured = estimates(statistic, groups.count, seed=seed, resamples=resamples)
    metrics, rsum = by_name(measured)
    return Retrieval(image_ranks, text_ranks, groups, metrics, rsum)


def rank_statistic(image_ranks: Ranks, text_ranks: Ranks, groups: Groups) -> Statistic:
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


def _direction(ranks: Ranks, owners: NDArray[np.int64], count: int) -> Statistic:
    recalled = 100 * hits(ranks, CUTOFFS).mean(axis=0)  # (queries, cutoffs)
    sums, sizes = group_sums(recalled, owners, count), np.bincount(owners, minlength=count)
    medians = [median_ranks(run, owners) for run in ranks]

    def statistic(weights: Values) -> Values:
        recalls = weights @ sums / (weights @ sizes)[:, None]
        median = np.mean([median_of(weights) for median_of in medians], axis=0)
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


Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Folds(Brief):
    """Metrics of both directions, each the mean over the folds.

    Attributes
    ----------
    sizes : k
        Images in each fold.
    metrics, rsum
        As in ``Retrieval``; the interval is that of the mean.
    """

    sizes: tuple[int, ...]
    metrics: Mapping[str, Mapping[str, Estimate]]
    rsum: Estimate

    def to_dict(self) -> dict[str, object]:
        """Return the dictionary of ``Retrieval``, and ``"folds"``: the images in each."""
        numbers = {"rsum": self.rsum.to_dict(), "folds": list(self.sizes)}
        return {**_by_direction(self.metrics), **numbers}


def retrieval_in_folds(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    folds: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Folds:
    """Measure each fold as ``retrieval`` does, with 95 % intervals of the mean.

    Parameters
    ----------
    image_vectors, text_vectors, truth, seed
        As in ``retrieval``.
    folds : int
        How many.

    Raises
    ------
    ConfigError
        If ``folds`` is not positive.
    DataError
        As ``retrieval``, or if a fold has fewer than two images that share no text.
    """
    truth = check_truth(truth, (len(image_vectors), len(text_vectors)))

    def ranks(images: Rows, texts: Rows, inside: Truth) -> tuple[Ranks, Ranks]:
        return ranks_both_ways(
            vectors_both_ways(image_vectors[images], text_vectors[texts]), inside
        )

    return measure_folds(ranks, truth, folds, seed=seed, resamples=resamples)


def measure_folds(
    ranks: Callable[[Rows, Rows, Truth], tuple[Ranks, Ranks]],
    truth: Truth,
    folds: int,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Folds:
    """Measure each fold by the ranks within it, as ``retrieval_in_folds`` does.

    The bootstrap resamples the images of each fold among themselves. Images that share
    texts are in one fold, that of the first of them.

    Parameters
    ----------
    ranks : callable
        From the rows of a fold's images and of its texts, int64, and the truth among them to
        what ``best_ranks`` gives for the images and for the texts.

    Raises
    ------
    ConfigError
        If ``folds`` is not positive.
    DataError
        As ``ranks``, or if a fold has fewer than two images that share no text.
    """
    parts, sizes = [], []
    for images, texts in fold_rows(truth, folds):
        inside = truth[images][:, texts]
        groups = components(inside)
        of_images, of_texts = ranks(images, texts, inside)
        statistic = rank_statistic(of_images[None], of_texts[None], groups)
        parts.append((statistic, groups.count))
        sizes.append(len(images))
    metrics, rsum = by_name(mean_estimates(parts, seed=seed, resamples=resamples))
    return Folds(tuple(sizes), metrics, rsum)


def fold_rows(truth: Truth, folds: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield the rows of each fold's images and of its texts.

    Raises
    ------
    ConfigError
        If ``folds`` is not positive.
    DataError
        If a fold has no image.
    """
    if folds < 1:
        raise ConfigError(f"There must be one fold or more, not {folds}.")
    image_folds, text_folds = _folds_of(components(truth), folds)
    for fold in range(folds):
        images, texts = np.flatnonzero(image_folds == fold), np.flatnonzero(text_folds == fold)
        if not len(images):
            raise DataError(f"Fold {fold + 1} of {folds} has no image; choose fewer folds.")
        yield images, texts


def _folds_of(groups: Groups, folds: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the fold of each image and of each text; a group is where its first image is."""
    first = np.full(groups.count, len(groups.images))
    np.minimum.at(first, groups.images, np.arange(len(groups.images)))
    starts = len(groups.images) * np.arange(1, folds) // folds
    fold_of_group = np.searchsorted(starts, first, side="right")
    return fold_of_group[groups.images], fold_of_group[groups.texts]
