"""What systems share that read words: networks, packing, all pairs of a batch, losses."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from visita.baselines.baseline import WordBaseline, fit_by_adam
from visita.baselines.cca import CCA
from visita.encoders.vocabulary import Vocabulary
from visita.networks.losses import Loss
from visita.training.batches import Batch, batch_count, batches
from visita.training.config import LoopConfig
from visita.training.cross_modal import ValidateScores
from visita.training.grids import CrossTensors
from visita.training.loop import History
from visita.training.tensors import statistics
from visita.types import FloatArray


class CellNetwork(nn.Module):
    """A pair network that standardises a picture's cells.

    Parameters
    ----------
    name : str
        In ``PAIR_NETWORKS``.
    packed : of int
        Rows of a picture, and the widths of a picture's rows and of a text's.
    settings
        Whatever else rebuilds the network for use, as JSON values.

    Attributes
    ----------
    arguments : dict
        What rebuilds it, all together.
    mean, scale : float32 (grid_features,)
        Training statistics of the features.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self, name: str, packed: Sequence[int], cells: int, grid_features: int, **settings: Any
    ) -> None:
        super().__init__()
        shapes = {"packed": list(packed), "cells": cells, "grid_features": grid_features}
        self.arguments: dict[str, Any] = {"name": name, **shapes, **settings}
        self.register_buffer("mean", torch.zeros(grid_features))
        self.register_buffer("scale", torch.ones(grid_features))

    def standardised(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to features of mean 0 and variance 1 in training."""
        return (grid - self.mean) / self.scale


class VectorNetwork(CellNetwork):
    """A pair network that packs one unit vector, as wide for a picture as for a text."""

    def score(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the cosines of packed pictures and texts, (n, m)."""
        return images[:, 0] @ texts[:, 0].T


def every_pair(images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows (n m, …) of pictures (n, r, e) and of texts (m, t, d), picture by picture."""
    # Multiplied, not expanded to a size: an exported graph takes any number of pictures.
    left = images[:, None] * torch.ones_like(texts[None, :, :1, :1])
    right = texts[None] * torch.ones_like(images[:, None, :1, :1])
    return left.flatten(0, 1), right.flatten(0, 1)


def all_negatives(scores: Tensor, also_true: Tensor, margin: float) -> Tensor:
    """Return Σ_j max(0, m - s_ii + s_ij) of both directions, a mean over pairs i.

    Kiros, Salakhutdinov & Zemel (2014), "Unifying visual-semantic embeddings".

    Parameters
    ----------
    scores : float32 (b, b)
        Of image i and text j; pair i sits on the diagonal.
    also_true : bool (b, b)
        Other true pairs, which are no negatives.
    """
    images, texts = _costs(scores, also_true, margin)
    return (images.sum() + texts.sum()) / len(scores)


def hardest_negative(scores: Tensor, also_true: Tensor, margin: float) -> Tensor:
    """Return max_j max(0, m - s_ii + s_ij) of both directions, a mean over pairs i.

    Faghri et al. (2018), "VSE++"; the parameters are those of ``all_negatives``.
    """
    images, texts = _costs(scores, also_true, margin)
    return (images.amax(1).sum() + texts.amax(0).sum()) / len(scores)


def _costs(scores: Tensor, also_true: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    known = also_true | torch.eye(len(scores), dtype=torch.bool)
    true = scores.diagonal()
    images = functional.relu(margin + scores - true[:, None]).masked_fill(known, 0)
    texts = functional.relu(margin + scores - true[None]).masked_fill(known, 0)
    return images, texts


GRADIENT = 2.0
"""Longest gradient, as in the authors' code of VSE++ and SCAN."""
ROWS = 256
"""Pictures or texts at once where nothing is learnt."""
PAIRS = 1024
"""And pairs: a captioner has a number for each word of its vocabulary at each place."""
BatchLoss = Callable[[Batch], tuple[Tensor, float]]
"""Maps a batch of true pairs to its loss, and that of guessing."""


def train_on_words(
    network: Any,
    train: CrossTensors,
    validate: Callable[[], float],
    config: LoopConfig,
    loss: BatchLoss,
) -> History:
    """Train a pair network in place with Adam, every true pair once an epoch."""
    standardise(network, train)
    rng = np.random.default_rng(config.seed)

    def epoch() -> Iterator[tuple[Tensor, float]]:
        for batch in batches(train.truth, config.batch, 1, mix=False, rng=rng):
            yield loss(batch)

    steps = config.epochs * batch_count(train.truth, config.batch)
    return fit_by_adam(network, epoch, validate, config, steps, longest_gradient=GRADIENT)


def standardise(network: Any, train: CrossTensors) -> None:
    """Set mean and scale of the network's cells by those of training pictures."""
    sample = train.grids[:: max(1, len(train.grids) // 10_000)].astype(np.float32)
    mean, scale = statistics(sample.reshape(-1, sample.shape[-1]))
    network.mean.copy_(torch.from_numpy(mean))
    network.scale.copy_(torch.from_numpy(scale))


def all_pairs(network: Any, train: CrossTensors, measures: Iterator[Loss]) -> BatchLoss:
    """Return the loss of the scores of all pictures of a batch with all its texts.

    ``measures`` has one for each batch.
    """

    def loss(batch: Batch) -> tuple[Tensor, float]:
        measure = next(measures)
        images = pack_images(network, train, batch.images)
        scores = network.score(images, pack_texts(network, train, batch.texts))
        also_true = torch.from_numpy(batch.also_true)
        guess = measure(torch.zeros_like(scores), also_true)
        return measure(scores, also_true), guess.item()

    return loss


def pack_images(network: Any, pairs: CrossTensors, rows: NDArray[np.int64]) -> Tensor:
    """Return packed pictures of these rows."""
    packed: Tensor = network.image(torch.from_numpy(pairs.grids[rows].astype(np.float32)))
    return packed


def pack_texts(network: Any, pairs: CrossTensors, rows: NDArray[np.int64]) -> Tensor:
    """Return packed texts of these rows, as long as the longest of them."""
    tokens, mask = pairs.tokens.padded(rows)
    packed: Tensor = network.text(torch.from_numpy(tokens), torch.from_numpy(mask))
    return packed


@torch.inference_mode()
def vectors_of(network: Any, pairs: CrossTensors) -> tuple[FloatArray, FloatArray]:
    """Return the first row of all packed pictures (n, dim) and texts (m, dim)."""
    vectors = []
    for pack, count in ((pack_images, len(pairs.grids)), (pack_texts, len(pairs.tokens))):
        rows = np.arange(count)
        blocks = [
            pack(network, pairs, rows[s : s + ROWS])[:, 0].numpy() for s in range(0, count, ROWS)
        ]
        vectors.append(np.concatenate(blocks))
    return vectors[0], vectors[1]


@torch.inference_mode()
def scores_of(network: Any, pairs: CrossTensors) -> FloatArray:
    """Return the score of every picture with every text, float32 (n, m)."""
    images = pack_images(network, pairs, np.arange(len(pairs.grids)))
    at_once = max(1, PAIRS // len(images))
    order = np.argsort(np.diff(pairs.tokens.offsets), kind="stable")  # little padding
    scores = np.empty((len(images), len(order)), np.float32)
    for start in range(0, len(order), at_once):
        block = order[start : start + at_once]
        scores[:, block] = network.score(images, pack_texts(network, pairs, block)).numpy()
    return scores


class PairBaseline(WordBaseline):
    """A system that scores pairs, where the vectors of CCA have found the first few."""

    validated: ClassVar[int] = 300
    """Pictures of dev that choose the epoch, with all their texts and all pairs of both."""

    first: CCA = CCA()
    """What finds; its own seed is not used."""
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Of the score beside the cosine of the vectors: alone, as the papers have it."""
    depth: Annotated[int, Field(ge=1)]
    """How many of the first stage's best it looks at; each system states its own."""

    def check(self) -> None:
        """Refuse what either stage cannot read."""
        super().check()
        self.first.check()

    @abstractmethod
    def made(self, cells: int, features: int, words: int) -> Any:
        """Return the network, untrained."""

    @abstractmethod
    def loss(self, network: Any, train: CrossTensors, words: int) -> BatchLoss:
        """Return what is minimised; ``words`` is the size of the vocabulary."""

    def learn(
        self,
        train: CrossTensors,
        dev: CrossTensors,
        validate: ValidateScores,
        vocabulary: Vocabulary,
    ) -> tuple[Any, History]:
        """Return the network, and what happened."""
        torch.manual_seed(self.seed)
        _, cells, features = train.grids.shape
        network = self.made(cells, features, len(vocabulary))
        loss = self.loss(network, train, len(vocabulary))
        return network, train_on_words(
            network, train, lambda: validate(scores_of(network, dev)), self, loss
        )
