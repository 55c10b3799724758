"""Training MKL-VisITA's network: every picture of a batch scored against every text.

The default loss is InfoNCE over the whole batch, whose hardest negatives weigh most; the
paper's is the squared error of the match probability, on as many false pairs as true ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor

from visita.networks.losses import info_nce, match_error
from visita.networks.mkl_visita import MklVisita
from visita.training.config import CrossModalConfig
from visita.training.loop import History, Losses, fit, warm_up_and_cosine
from visita.training.tensors import statistics
from visita.types import FloatArray, Tokens

ValidateScores = Callable[[FloatArray], float]
"""Maps scores of dev pictures and texts, float32 (n, m), to a number; higher is better."""
GRADIENT = 2.0
"""Longest gradient: attention is steep at first."""
IMAGES = 100
TEXTS = 100
"""At once where nothing is learnt; bounds the memory."""


@dataclass(frozen=True)
class CrossTensors:
    """Grids float16 (n, cells, d) of pictures, tokens of m texts, truth sparse bool (n, m)."""

    grids: NDArray[np.float16]
    tokens: Tokens
    truth: sparse.csr_array


def train_cross_modal(
    train: CrossTensors, dev: CrossTensors, validate: ValidateScores, config: CrossModalConfig
) -> tuple[MklVisita, History]:
    """Return the trained network and what happened.

    The same seed gives bit-equal weights at one thread count.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    ConfigError
        If a level or a kernel does not exist.
    """
    torch.manual_seed(config.seed)
    network = _network(train, config)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * -(-train.truth.shape[0] // config.batch)
    history = fit(
        network,
        _losses(network, train, config),
        optimizer,
        lambda: validate(all_scores(network, dev)),
        config,
        partial(warm_up_and_cosine, steps=steps),
        longest_gradient=GRADIENT,
        averaging=config.averaging,
    )
    return network, history


def _network(train: CrossTensors, config: CrossModalConfig) -> MklVisita:
    _, cells, features = train.grids.shape
    network = MklVisita(
        cells,
        features,
        text={
            "side": "pretrained",
            "features": train.tokens.values.shape[1],
            "input_dropout": config.input_dropout,
        },
        width=config.width,
        dim=config.dim,
        heads=config.heads,
        depth=config.depth,
        levels=config.levels,
        kernels=config.kernels,
        dropout=config.dropout,
        input_dropout=config.input_dropout,
    )
    _standardise(network.see, train.grids.reshape(-1, features))
    _standardise(network.read, train.tokens.values)
    return network


def _standardise(side: Any, rows: NDArray[np.float16]) -> None:
    # A hundred thousand rows tell mean and variance well enough.
    some = rows[:: max(1, len(rows) // 100_000)].astype(np.float32)
    mean, scale = statistics(some)
    side.mean.copy_(torch.from_numpy(mean))
    side.scale.copy_(torch.from_numpy(scale))


def _losses(network: MklVisita, train: CrossTensors, config: CrossModalConfig) -> Losses:
    """Return what yields, for one epoch, each batch's loss and that of guessing."""
    rng = np.random.default_rng(config.seed)

    def epoch() -> Iterator[tuple[Tensor, float]]:
        order = rng.permutation(train.truth.shape[0])
        for start in range(0, len(order), config.batch):
            images = order[start : start + config.batch]
            texts, owners = _texts(train.truth, images, config.texts_per_image, rng)
            if len(images) > 1:
                seen = network.image(_grids(train.grids[images], rng))
                scores = network.score(seen, _packed(network, train.tokens, texts))[owners]
                same = torch.from_numpy(train.truth[images][:, texts].toarray())[owners]
                if config.loss == "info-nce":
                    loss = info_nce(scores, same, config.temperature, config.label_smoothing)
                    yield loss, math.log(len(texts))
                else:
                    yield match_error(network.probability(scores), same), 0.25

    return epoch


def _texts(
    truth: sparse.csr_array, images: NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return at most ``count`` texts of each image, and for each its image's place."""
    drawn = [
        rng.permutation(truth.indices[truth.indptr[i] : truth.indptr[i + 1]])[:count]
        for i in images
    ]
    owners = np.repeat(np.arange(len(images)), [len(texts) for texts in drawn])
    return np.concatenate(drawn).astype(np.int64), owners


def _grids(grids: NDArray[np.float16], rng: np.random.Generator) -> Tensor:
    """Return float32 grids; every other one, by chance, mirrored."""
    n, cells, d = grids.shape
    side = math.isqrt(cells)
    seen = grids.astype(np.float32)
    if side * side == cells:
        turned = rng.random(n) < 0.5
        square = seen[turned].reshape(-1, side, side, d)
        seen[turned] = square[:, :, ::-1].reshape(-1, cells, d)
    return torch.from_numpy(seen)


def _packed(network: MklVisita, tokens: Tokens, rows: NDArray[np.int64]) -> Tensor:
    values, mask = tokens.padded(rows)
    return network.text(torch.from_numpy(values), torch.from_numpy(mask))


@torch.inference_mode()
def all_scores(network: MklVisita, pairs: CrossTensors) -> FloatArray:
    """Return the score of every picture with every text, float32 (n, m)."""
    grids = pairs.grids
    seen = torch.cat(
        [
            network.image(torch.from_numpy(grids[start : start + IMAGES].astype(np.float32)))
            for start in range(0, len(grids), IMAGES)
        ]
    )
    scores = np.empty((len(grids), len(pairs.tokens)), np.float32)
    order = np.argsort(np.diff(pairs.tokens.offsets), kind="stable")  # little padding
    for start in range(0, len(order), TEXTS):
        texts = order[start : start + TEXTS]
        scores[:, texts] = network.score(seen, _packed(network, pairs.tokens, texts)).numpy()
    return scores
