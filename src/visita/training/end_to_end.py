"""Training an image encoder together with the fusion heads that its pooled levels are read by.

The heads first learn on features of the encoder as it is, which are computed once; what heads that
know nothing would ask of the encoder would undo its pretraining. Then pixels go through both.
Statistics of batch normalisation stay those of the pretraining: batches are small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import ceil, log
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from visita.errors import ConfigError
from visita.networks.fusion import FusionNetwork
from visita.networks.losses import loss_named
from visita.training.batches import one_pair_each
from visita.training.config import EndToEndConfig
from visita.training.depth import StochasticDepth, freeze
from visita.training.devices import Team
from visita.training.fusion import closed_form_heads
from visita.training.loop import Checkpoint, History, Losses, fit, set_apart, warm_up_and_cosine
from visita.training.pixels import Pixels
from visita.training.tensors import PairTensors, Spans
from visita.training.tuning import Validate, mixed_texts, train_network
from visita.types import FloatArray

AT_ONCE = 32
"""Pictures where nothing is learnt."""
HEADS_BATCH = 256
"""Pairs a step of the heads alone."""
BETAS = (0.9, 0.98)
GROWTH = (*8 * (5 / 7,), *5 * (6 / 7,), *3 * (1,))
"""Shares of the encoder's own side that pictures have from epoch to epoch."""
STRIDE = 32
"""Pixels that nearly every convolutional network makes one cell of in the end."""
LEAST = 1e-30
"""Of a probability, before its logarithm: less has no gradient in float32."""


@dataclass(frozen=True)
class Pictures:
    """Pixels of n pictures, and their levels by the untrained encoder beside texts and truth.

    Attributes
    ----------
    pixels : Pixels
    tensors : PairTensors
    width : int
        Of the levels that heads read; what is left are class probabilities.
    """

    pixels: Pixels
    tensors: PairTensors
    width: int

    def levels(self) -> Tensor:
        """Return what heads read of the pictures as they are, (n, width)."""
        return torch.from_numpy(self.tensors.images[:, 0, : self.width].copy())

    def classes(self) -> Tensor:
        """Return the class probabilities, the mean over the views, (n, c or 0)."""
        return torch.from_numpy(self.tensors.images[:, :, self.width :].mean(1))


class EndToEnd(nn.Module):
    """An encoder, whose last level is class probabilities where it has any, and its heads."""

    def __init__(self, encoder: nn.Module, heads: FusionNetwork, depth: StochasticDepth) -> None:
        super().__init__()
        self.encoder = encoder
        self.heads = heads
        self._depth = depth
        self._width = len(heads.image_tower.mean)

    def train(self, mode: bool = True) -> Self:
        """Leave the encoder as in use, but for its depth: its statistics are not learnt."""
        super().train(mode)
        self.encoder.eval()
        self._depth.on = mode
        return self

    def levels(self, pixels: NDArray[np.uint8]) -> tuple[Tensor, Tensor]:
        """Map uint8 (b, side, side, 3) to levels side by side (b, d) and classes (b, c or 0)."""
        read = self.encoder(torch.from_numpy(pixels).to(self.heads.image_tower.mean.device))
        joined = torch.cat([level.float() for level in read], dim=1)
        return joined[:, : self._width], joined[:, self._width :]


def train_end_to_end(
    encoder: nn.Module,
    train: Pictures,
    dev: Pictures,
    sizes: tuple[int, ...],
    validate: Validate,
    config: EndToEndConfig,
    *,
    resume: Path,
) -> tuple[FusionNetwork, History]:
    """Train ``encoder`` in place, on the CPU in the end; return its heads and what happened.

    Its history starts with what the heads reach on the untrained encoder, and where no epoch is
    better the encoder stays as it is. The same seed gives bit-equal weights at one thread count, on
    the CPU. Several processes, where ``accelerate launch`` started them, train it together.

    Parameters
    ----------
    encoder
        Maps pixels to pooled levels.
    sizes
        As of ``sizes_of``.
    resume
        Folder of the run's state: one that was killed goes on from there.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    PictureError
        If a picture can no longer be decoded.
    """
    team = Team(config.device, config.precision)
    heads = team.shared(lambda: _trained_heads(train, dev, validate, config, resume / "heads"))
    torch.manual_seed(config.seed)
    rng = np.random.default_rng([config.seed, 1])
    set_apart(rng, team.number)
    learnt = [
        {"params": list(heads.parameters()), "lr": config.learning_rate},
        *freeze(encoder, config),
    ]
    model = EndToEnd(encoder, heads, StochasticDepth(encoder, config)).to(team.device)
    memory = {
        "levels": train.levels().to(team.device),
        "epochs": torch.zeros((), dtype=torch.int64),
    }
    steps = _step_count(train, config, team)
    history = fit(
        model,
        _losses(model, train, memory, sizes, config, rng, team),
        torch.optim.AdamW(learnt, betas=BETAS, weight_decay=config.weight_decay, fused=True),
        lambda: team.shared(lambda: validate(*_vectors(model, dev))),
        config,
        partial(warm_up_and_cosine, steps=steps),
        averaging=config.averaging,
        checkpoint=Checkpoint(resume / "both", rng, team.number, memory),
        gather=team.average,
    )
    model.cpu()
    return heads, history


def sizes_of(encoder: nn.Module, side: int, config: EndToEndConfig) -> tuple[int, ...]:
    """Return the size of the pictures in each epoch, of an encoder of ``side`` pixels.

    Raises
    ------
    ConfigError
        If the encoder does not read pictures of a size that was asked for.
    """
    grown = tuple(max(1, round(share * side / STRIDE)) * STRIDE for share in GROWTH[:-3])
    sizes = config.sizes or (*(min(size, side) for size in grown), *3 * (side,))
    refused = [size for size in dict.fromkeys(sizes) if not _reads(encoder, size)]
    if refused and config.sizes:
        raise ConfigError(
            f"The encoder reads no pictures of {refused[0]} pixels: leave sizes out, or set it to "
            f"[{side}]."
        )
    if refused:
        sizes = (side,)
    # The last epoch is always of the last size, however few there are.
    return tuple(
        sizes[ceil((epoch + 1) * len(sizes) / config.epochs) - 1] for epoch in range(config.epochs)
    )


def _reads(encoder: nn.Module, size: int) -> bool:
    try:
        with torch.inference_mode():
            encoder(torch.zeros(1, size, size, 3, dtype=torch.uint8))
    except Exception:  # networks of other libraries refuse each in their own way
        return False
    return True


def _trained_heads(
    train: Pictures, dev: Pictures, validate: Validate, config: EndToEndConfig, resume: Path
) -> FusionNetwork:
    """Return heads that have learnt on features of the untrained encoder."""
    texts = train.tensors.texts.shape[1]
    spans = Spans((0, train.width), None, (0, texts), (0, texts))
    heads = closed_form_heads(train.tensors, spans, config)
    alone = config.model_copy(update={"epochs": config.head_epochs, "batch": HEADS_BATCH})
    tensors = train.tensors, dev.tensors
    train_network(heads, *tensors, spans, validate, alone, resume=resume)
    return heads


def _step_count(train: Pictures, config: EndToEndConfig, team: Team) -> int:
    """Return how many steps all epochs have."""
    return config.epochs * ceil(len(train.pixels) / (config.batch * team.count))


def _losses(
    model: EndToEnd,
    train: Pictures,
    memory: Mapping[str, Tensor],
    sizes: tuple[int, ...],
    config: EndToEndConfig,
    rng: np.random.Generator,
    team: Team,
) -> Losses:
    """Return what yields, for one epoch, each batch's loss and that of guessing."""
    texts, classes = (
        values.to(team.device)
        for values in (torch.from_numpy(train.tensors.texts), train.classes())
    )
    contrast = loss_named("info-nce", config)

    def epoch() -> Iterator[tuple[Tensor, float]]:
        size = sizes[int(memory["epochs"])]
        memory["epochs"].add_(1)
        order = rng.permutation(len(train.pixels))
        starts = range(0, len(order), config.batch * team.count)
        fresh = [order[start : start + config.batch] for start in starts]
        views = train.pixels.varied(fresh, size, rng, mirror=config.mirror)
        for rows, pixels in zip(fresh, views, strict=True):
            others = rng.permutation(np.setdiff1d(order, rows))[: config.bank]
            every = np.concatenate([rows, others])
            batch = one_pair_each(train.tensors.truth, every, mix=config.mix_texts, rng=rng)
            with team.mixed():
                levels, found = model.levels(pixels)
                images = torch.cat([levels, memory["levels"][others]])
                read = model.heads.text(mixed_texts(texts, batch))
                scores = model.heads.image(images[:, None]) @ read.T
            also_true = torch.from_numpy(batch.also_true).to(team.device)
            unlike = functional.kl_div(
                found.clamp_min(LEAST).log(), classes[rows], reduction="batchmean"
            )
            visited = team.gathered(torch.from_numpy(rows).to(team.device))
            memory["levels"][visited] = team.gathered(levels.detach())
            # The encoder learns of a share of the pairs alone, so that the rest weighs as little.
            weight = config.distillation * len(rows) / len(every)
            yield contrast(scores.float(), also_true) + weight * unlike, log(len(every))

    return epoch


@torch.inference_mode()
def _vectors(model: EndToEnd, pictures: Pictures) -> tuple[FloatArray, FloatArray]:
    """Return the vectors of pictures (n, dim) and of texts (m, dim)."""
    rows = np.arange(len(pictures.pixels))
    images = []
    for start in range(0, len(rows), AT_ONCE):
        levels, _ = model.levels(pictures.pixels.whole(rows[start : start + AT_ONCE]))
        images.append(model.heads.image(levels[:, None]).cpu().numpy())
    texts = torch.from_numpy(pictures.tensors.texts).to(levels.device)
    return np.concatenate(images), model.heads.text(texts).cpu().numpy()
