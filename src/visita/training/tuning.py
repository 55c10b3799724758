"""Training one two-sided network on pairs: AdamW, warm-up and cosine decay."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from visita.networks.fusion import ImageSide, TextSide
from visita.networks.losses import Loss, below_true, loss_named, loss_of_guessing
from visita.training.batches import Batch, batch_count, batches
from visita.training.config import ContrastConfig
from visita.training.loop import Checkpoint, History, Losses, fit, warm_up_and_cosine
from visita.training.tensors import ROWS, PairTensors, Spans
from visita.types import FloatArray

Vectors = tuple[FloatArray, FloatArray]
"""Of images (n, d) and of texts (m, d), whose inner products are scores."""
Validate = Callable[[FloatArray, FloatArray], float]
"""Maps dev vectors, images (n, dim) and texts (m, dim), to a score; higher is better."""


@dataclass(frozen=True)
class Extra:
    """Further pairs that are trained on beside the main ones, and how much they count."""

    pairs: PairTensors
    weight: float


def train_network(
    network: Any,
    train: PairTensors,
    dev: PairTensors,
    spans: Spans,
    validate: Validate,
    config: ContrastConfig,
    extra: Extra | None = None,
    loss: Loss | None = None,
    resume: Path | None = None,
) -> History:
    """Train a two-sided ``network`` in place and return what happened.

    ``loss`` is InfoNCE unless another one is given, ``resume`` a folder that a killed run goes on
    from.

    Raises as ``loop.fit`` does.
    """
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    loss = loss or loss_named("info-nce", config)
    main = _losses(network, train, spans, config, rng, loss)
    if extra and extra.pairs.truth.nnz < 2:  # not enough for a batch
        extra = None
    beside = _losses(network, extra.pairs, spans, _unmixed(config), rng, loss) if extra else None

    def losses() -> Iterator[tuple[Tensor, float]]:
        if beside is None or extra is None:
            yield from main()
            return
        for (value, chance), (other_value, other_chance) in zip(
            main(), _endless(beside), strict=False
        ):
            yield value + extra.weight * other_value, chance + extra.weight * other_chance

    def dev_score() -> float:
        return validate(*embed(network, dev, spans))

    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        fused=True,  # one pass over millions of weights in place of a dozen
    )
    steps = config.epochs * batch_count(train.truth, config.batch)
    rate = partial(warm_up_and_cosine, steps=steps)
    checkpoint = Checkpoint(resume, rng) if resume else None
    return fit(network, losses, optimizer, dev_score, config, rate, checkpoint=checkpoint)


def _losses(
    network: Any,
    pairs: PairTensors,
    spans: Spans,
    config: ContrastConfig,
    rng: np.random.Generator,
    loss: Loss,
) -> Losses:
    """Return what yields, for one epoch, each batch's loss and that of guessing."""
    images = torch.from_numpy(pairs.images[:, :, slice(*spans.fusion)])
    texts = torch.from_numpy(pairs.texts[:, slice(*spans.text)])

    def epoch() -> Iterator[tuple[Tensor, float]]:
        views = images.shape[1]
        for batch in batches(pairs.truth, config.batch, views, mix=config.mix_texts, rng=rng):
            scores, also_true = _scores(network, images, texts, batch, config)
            value, chance = loss(scores, also_true), loss_of_guessing(loss, scores)
            if pairs.wrong is not None:
                rows = rng.permutation(pairs.wrong)[: config.batch].T
                wrong = _paired(network, images, texts, rows, rng)
                value = value + below_true(wrong, scores.diagonal(), config.temperature)
                chance += math.log(2)
            yield value, chance

    return epoch


def _paired(
    network: Any,
    images: Tensor,
    texts: Tensor,
    rows: NDArray[np.int64],
    rng: np.random.Generator,
) -> Tensor:
    """Return the cosine of each pair of ``rows``, int64 (2, w), the picture in a random view."""
    of_images, of_texts = map(torch.from_numpy, rows)
    views = torch.from_numpy(rng.integers(0, images.shape[1], len(of_images)))
    read = network.image(images[of_images, views][:, None])
    cosines: Tensor = (read * network.text(texts[of_texts])).sum(1)
    return cosines


def _unmixed(config: ContrastConfig) -> ContrastConfig:
    return config.model_copy(update={"mix_texts": False, "batch": max(2, config.batch // 2)})


def _endless(epoch: Losses) -> Iterator[tuple[Tensor, float]]:
    while True:
        yield from epoch()


def _scores(
    network: Any, images: Tensor, texts: Tensor, batch: Batch, config: ContrastConfig
) -> tuple[Tensor, Tensor]:
    views = images[torch.from_numpy(batch.images), torch.from_numpy(batch.views)][:, None]
    read = mixed_texts(texts, batch) if config.mix_texts else texts[torch.from_numpy(batch.texts)]
    return network.image(views) @ network.text(read).T, torch.from_numpy(batch.also_true)


def mixed_texts(texts: Tensor, batch: Batch) -> Tensor:
    """Return each pair's text mixed with its sibling, (b, e), from the vectors of all."""
    rows, siblings = torch.from_numpy(batch.texts), torch.from_numpy(batch.siblings)
    shares = torch.from_numpy(batch.shares).to(texts.device)
    return torch.lerp(texts[siblings], texts[rows], shares[:, None])


def embed(network: Any, pairs: PairTensors, spans: Spans) -> tuple[FloatArray, FloatArray]:
    """Return the vectors that a two-sided network gives the features of its spans."""
    images = pairs.images[:, :, slice(*spans.fusion)]
    texts = pairs.texts[:, slice(*spans.text)]
    return _in_rows(ImageSide(network), images), _in_rows(TextSide(network), texts)


def _in_rows(side: nn.Module, rows: FloatArray) -> FloatArray:
    return np.concatenate(list(in_blocks(side, rows)))


def in_blocks(side: Callable[[Tensor], Tensor], rows: FloatArray) -> Iterator[FloatArray]:
    """Yield ``side`` of ``rows``, so many at a time as to bound the memory."""
    for start in range(0, len(rows), ROWS):
        with torch.inference_mode():
            yield side(torch.from_numpy(rows[start : start + ROWS])).numpy()
