"""Weights of similarities, learnt on dev, and whether their sum beats the best similarity alone.

Dev both chooses and reports, so the gain over the best matcher alone is cross-fitted: the weights
for one half of the images are learnt on the other, and every query is ranked against the whole
gallery.

Fusing several matchers into one, with weights learnt on dev.

Dev both chooses and reports, so the gain over the best matcher alone is cross-fitted: the weights
for one half of the images are learnt on the other, and every query is ranked against the whole
gallery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.evaluation import (
    Difference,
    Estimate,
    Retrieval,
    best_ranks,
    dot_blocks,
    measure_ranks,
    paired_retrieval,
    retrieval,
)
from visita.evaluation.blocks import Truth
from visita.evaluation.intervals import RESAMPLES, Groups, components
from visita.kernels.weights import Choices
from visita.types import FloatArray
from visita.vectors import join

LEAST_WEIGHT = 0.01
"""What would weigh less than this share of the heaviest is left out: it costs as much as any."""
LEAST_IMAGES = 4
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LearntWeights:
    """What fusing k similarities on one split found.

    Attributes
    ----------
    weights : tuple of Estimate
        beta of each, as learnt on the whole split, with sum 1; intervals over its images.
    alone : tuple of Retrieval
        Each similarity by itself.
    fused : Retrieval
        All together, the weights cross-fitted.
    gain : Difference
        rsum of ``fused`` over the best similarity alone, on the same queries.
    """

    weights: tuple[Estimate, ...]
    alone: tuple[Retrieval, ...]
    fused: Retrieval
    gain: Difference

    @property
    def best(self) -> int:
        """Which similarity alone has the highest rsum."""
        return int(np.argmax([result.rsum.value for result in self.alone]))

    @property
    def holds(self) -> bool:
        """Whether the gain is above zero with its whole interval."""
        return self.gain.low > 0

    def chosen(self) -> tuple[float, ...]:
        """Return the weights to use: as learnt if the gain holds, else the best alone."""
        if self.holds:
            return tuple(weight.value for weight in self.weights)
        return tuple(float(number == self.best) for number in range(len(self.alone)))


def learn_weights(
    images: Sequence[FloatArray], texts: Sequence[FloatArray], truth: Truth, *, seed: int
) -> LearntWeights:
    """Learn the weights of k similarities and measure what they gain.

    Parameters
    ----------
    images, texts : sequences of float32 (n, d_k), (m, d_k)
        Unit vectors by each similarity. All k (n, m) tables are held at once.
    truth : csr bool (n, m)
        Each image has a text and each text an image.
    seed : int
        Seed of the halves and of the intervals.

    Raises
    ------
    DataError
        If there are fewer than four images that share no text, or no similarity tells what
        belongs together from what does not.
    """
    groups = components(truth)
    if groups.count < LEAST_IMAGES:
        raise DataError(
            f"Weights are learnt on {LEAST_IMAGES} dev images or more that share no text."
        )
    similarities = np.stack([a @ b.T for a, b in zip(images, texts, strict=True)])
    alone = [retrieval(a, b, truth, seed=seed) for a, b in zip(images, texts, strict=True)]
    fused = _cross_fitted(similarities, images, texts, truth, groups, seed)
    best = max(alone, key=lambda result: result.rsum.value)
    weights = _learnt(similarities, truth, groups, seed)
    return LearntWeights(weights, tuple(alone), fused, rsum_gain(best, fused, seed))


def _learnt(
    similarities: FloatArray, truth: Truth, groups: Groups, seed: int
) -> tuple[Estimate, ...]:
    choices = Choices(similarities, truth, np.ones(len(groups.images), bool))
    fitted = choices.fit()
    weights = _shares(fitted)
    draws = choices.resampled(fitted, groups.images, seed=seed, resamples=RESAMPLES)
    draws /= np.maximum(draws.sum(axis=1, keepdims=True), 1e-9)
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return tuple(Estimate(*map(float, row)) for row in zip(weights, low, high, strict=True))


def _cross_fitted(
    similarities: FloatArray,
    images: Sequence[FloatArray],
    texts: Sequence[FloatArray],
    truth: Truth,
    groups: Groups,
    seed: int,
) -> Retrieval:
    first = np.random.default_rng(seed).permutation(groups.count) % 2 == 0
    image_ranks, text_ranks = (np.empty((size, 3), np.int64) for size in truth.shape)
    for half in (first, ~first):
        own_images, own_texts = half[groups.images], half[groups.texts]
        weights = _shares(Choices(similarities, truth, ~own_images).fit())
        a, b = join(images, weights), join(texts, weights)
        image_ranks[own_images] = best_ranks(dot_blocks(a[own_images], b), truth[own_images])
        text_ranks[own_texts] = best_ranks(dot_blocks(b[own_texts], a), truth.T.tocsr()[own_texts])
    return measure_ranks(image_ranks[None], text_ranks[None], groups, seed=seed)


def rsum_gain(before: Retrieval, after: Retrieval, seed: int) -> Difference:
    gain = paired_retrieval(before, after, seed=seed)["rsum"]
    assert isinstance(gain, Difference)
    return gain


def _shares(w: Values) -> list[float]:
    """Return the weights with sum 1, the least ones 0.

    Raises
    ------
    DataError
        If all are 0.
    """
    if not w.any():
        raise DataError(
            "None of these matchers tells which dev images and texts belong together; "
            "check the pairs, or train a matcher on them."
        )
    trimmed = np.where(w < LEAST_WEIGHT * w.max(), 0, w)
    return [float(share) for share in trimmed / trimmed.sum()]
