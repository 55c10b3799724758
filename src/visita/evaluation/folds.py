"""Retrieval as the mean over folds: COCO's 1K protocol is its 5,000 test images in five folds.

Source: A. Karpathy, L. Fei-Fei, Deep Visual-Semantic Alignments, CVPR 2015. Folds are
disjoint and in the order of the images; each is a gallery of its own, with all texts of
its images, however many these are. COCO's 5K protocol is ``retrieval`` on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visita.brief import Brief
from visita.errors import ConfigError, DataError
from visita.evaluation.blocks import Truth, check_truth, dot_blocks
from visita.evaluation.intervals import RESAMPLES, Estimate, Groups, components, mean_estimates
from visita.evaluation.ranks import Ranks, best_ranks
from visita.evaluation.retrieval import by_name, rank_statistic
from visita.types import FloatArray

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
        directions = {
            direction: {name: one.to_dict() for name, one in metrics.items()}
            for direction, metrics in self.metrics.items()
        }
        return {**directions, "rsum": self.rsum.to_dict(), "folds": list(self.sizes)}


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
        seen, read = image_vectors[images], text_vectors[texts]
        return (
            best_ranks(dot_blocks(seen, read), inside),
            best_ranks(dot_blocks(read, seen), inside.T.tocsr()),
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
