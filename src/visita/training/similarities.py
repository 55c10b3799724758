"""Similarities that learn nothing but means: the names of what a picture shows, against a text.

Fusing similarities: weights learnt on dev, and whether they beat the best similarity alone.

Dev both chooses and reports, so the gain is cross-fitted: the weights for one half of the
images are learnt on the other, and every query is ranked against the whole gallery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from visita.encoders.colours import FOCAL, LEVELS
from visita.encoders.efficientnet import class_names
from visita.encoders.table import TEXT_ENCODERS
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
from visita.matchers.embed import JointMatcher
from visita.networks.fusion import ClassNames, JointSpace, Part
from visita.store.extract import text_features
from visita.training.tensors import PairTensors, as_matcher
from visita.types import FloatArray, Recipe, TextEncoder
from visita.vectors import join, unit


@dataclass(frozen=True)
class Naming:
    """Image features that are each the share of something, and its name.

    Attributes
    ----------
    recipe : Recipe
    names : tuple of str
        One an image feature.
    """

    recipe: Recipe
    names: tuple[str, ...]

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.open_text_encoder().dim

    def open_text_encoder(self) -> TextEncoder:
        """Return what names and texts are read with."""
        encoder: TextEncoder = TEXT_ENCODERS.load("minilm-l6")(("layer6",))
        return encoder


NAMINGS = {
    "class-names": Naming(
        Recipe({"efficientnet-lite2": ("classes",)}, mirror=True), tuple(class_names())
    ),
    "colour": Naming(Recipe({"colours": LEVELS}), tuple(FOCAL) * len(LEVELS)),
}


def naming_matcher(name: str, naming: Naming, train: PairTensors) -> JointMatcher:
    """Return the similarity as a matcher, never calibrated.

    Parameters
    ----------
    train : PairTensors
        The naming's columns, and texts by its text encoder; only their means are learnt.
    """
    text = naming.open_text_encoder()
    images, texts = train.images.shape[-1], train.texts.shape[-1]
    spans = (0, images), (0, texts)
    part = Part(
        network="class-names", arguments={}, image_span=spans[0], text_span=spans[1], weight=1
    )
    space = JointSpace(images, texts, parts=[part], dim=texts)
    set_names(space.networks[0], naming.names, train, *spans, text)
    return as_matcher(name, space.eval(), naming.recipe, text)


def set_names(
    network: ClassNames,
    names: Sequence[str],
    train: PairTensors,
    shares: tuple[int, int],
    sentence: tuple[int, int],
    text: TextEncoder,
) -> None:
    """Set the names' vectors, and the means over ``train``, of a network in place.

    ``shares`` and ``sentence`` are the spans that it reads of the image and text features.
    """
    # A topic model knows nothing of some names: their vectors are, and stay, zero.
    vectors = unit(text_features(names, text).pooled()[:, slice(*sentence)])
    found = train.images[:, :, slice(*shares)]
    images = found.reshape(-1, found.shape[-1]) @ vectors
    texts = unit(train.texts[:, slice(*sentence)])
    network.names.copy_(torch.from_numpy(vectors))
    network.image_mean.copy_(torch.from_numpy(images.mean(0)))
    network.text_mean.copy_(torch.from_numpy(texts.mean(0)))


LEAST_WEIGHT = 0.01
"""What would weigh less than this share of the heaviest is left out: it costs as much as any."""
LEAST_IMAGES = 4
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fusion:
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
        return int(np.argmax([one.rsum.value for one in self.alone]))

    @property
    def holds(self) -> bool:
        """Whether the gain is above zero with its whole interval."""
        return self.gain.low > 0

    def chosen(self) -> tuple[float, ...]:
        """Return the weights to use: as learnt if the gain holds, else the best alone."""
        if self.holds:
            return tuple(one.value for one in self.weights)
        return tuple(float(number == self.best) for number in range(len(self.alone)))


def learn_weights(
    images: Sequence[FloatArray], texts: Sequence[FloatArray], truth: Truth, *, seed: int
) -> Fusion:
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
    best = max(alone, key=lambda one: one.rsum.value)
    return Fusion(
        _learnt(similarities, truth, groups, seed),
        tuple(alone),
        fused,
        rsum_gain(best, fused, seed=seed),
    )


def _learnt(
    similarities: FloatArray, truth: Truth, groups: Groups, seed: int
) -> tuple[Estimate, ...]:
    choices = Choices(similarities, truth, np.ones(len(groups.images), bool))
    found = choices.fit()
    weights = _shares(found)
    draws = choices.resampled(found, groups.images, seed=seed, resamples=RESAMPLES)
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


def rsum_gain(before: Retrieval, after: Retrieval, *, seed: int) -> Difference:
    """Return by how much the rsum differs, on the same queries."""
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
    kept = np.where(w < LEAST_WEIGHT * w.max(), 0, w)
    return [float(one) for one in kept / kept.sum()]
