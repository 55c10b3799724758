"""What systems share that read words: packing, statistics, and all pairs of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visita.training.batches import Batch, batch_count, batches
from visita.training.config import LoopConfig
from visita.training.cross_modal import CrossTensors
from visita.training.loop import History, fit, warm_up_and_cosine
from visita.training.tensors import statistics
from visita.types import FloatArray

GRADIENT = 2.0
"""Longest gradient, as in the authors' code of VSE++ and SCAN."""
ROWS = 256
"""Pictures or texts at once where nothing is learnt."""
PAIRS = 1024
"""And pairs: a captioner has a number for each word of its vocabulary at each place."""

Measure = Callable[[Tensor, Tensor], Tensor]
"""Maps scores of image i and text j, (b, b), and which other pairs are true, bool, to a loss."""
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
    return fit(
        network,
        epoch,
        torch.optim.Adam(network.parameters(), lr=config.learning_rate),
        validate,
        config,
        partial(warm_up_and_cosine, steps=steps),
        longest_gradient=GRADIENT,
    )


def standardise(network: Any, train: CrossTensors) -> None:
    """Set mean and scale of the network's cells by those of training pictures."""
    some = train.grids[:: max(1, len(train.grids) // 10_000)].astype(np.float32)
    mean, scale = statistics(some.reshape(-1, some.shape[-1]))
    network.mean.copy_(torch.from_numpy(mean))
    network.scale.copy_(torch.from_numpy(scale))


def all_pairs(network: Any, train: CrossTensors, measures: Iterator[Measure]) -> BatchLoss:
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
    found = []
    for pack, count in ((pack_images, len(pairs.grids)), (pack_texts, len(pairs.tokens))):
        rows = np.arange(count)
        blocks = [
            pack(network, pairs, rows[s : s + ROWS])[:, 0].numpy() for s in range(0, count, ROWS)
        ]
        found.append(np.concatenate(blocks))
    return found[0], found[1]


@torch.inference_mode()
def scores_of(network: Any, pairs: CrossTensors) -> FloatArray:
    """Return the score of every picture with every text, float32 (n, m)."""
    images = pack_images(network, pairs, np.arange(len(pairs.grids)))
    at_once = max(1, PAIRS // len(images))
    order = np.argsort(np.diff(pairs.tokens.offsets), kind="stable")  # little padding
    scores = np.empty((len(images), len(order)), np.float32)
    for start in range(0, len(order), at_once):
        some = order[start : start + at_once]
        scores[:, some] = network.score(images, pack_texts(network, pairs, some)).numpy()
    return scores
