"""What decides a run of MKL-VisITA: its network, and both its stages."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from visita.errors import ConfigError
from visita.networks import LOSSES, PAIR_LOSSES
from visita.training.config import (
    BASE,
    GRIDS,
    LAST_GRIDS,
    ContrastConfig,
    FusionConfig,
    ImageLevels,
    Levels,
    Seed,
    Share,
    Views,
    _known,
)
from visita.training.settings import Settings
from visita.types import Recipe


class CrossModalConfig(ContrastConfig):
    """MKL-VisITA's network, what it reads and its training."""

    image_levels: ImageLevels = GRIDS
    """Grids of one number of cells, early to last."""
    views: Views = ()
    """Augmented views that are seen too, drawn beforehand; without, cells are mirrored."""
    text_side: Literal["pretrained", "recurrent", "transformer"] = "pretrained"
    """Tokens of an encoder, or a vocabulary read by a GRU from both ends or by a transformer."""
    text_encoder: str = "minilm-l6"
    """For the pretrained side."""
    text_levels: Levels = ("layer3", "layer4", "layer5", "layer6")
    vocabulary: Annotated[int, Field(ge=1)] = 10_000
    """Words at most, the most frequent ones of the training texts."""
    longest: Annotated[int, Field(ge=1)] = 64
    """Words of a text that are read with a vocabulary; stderr says how many texts are longer."""
    text_depth: Annotated[int, Field(ge=1, le=100)] = 2
    """Blocks of the text transformer."""

    epochs: Annotated[int, Field(ge=0)] = 12
    batch: Annotated[int, Field(ge=2)] = 64
    """Pictures a step; with match-error pairs, half of them false."""
    texts_per_image: Annotated[int, Field(ge=1)] = 2
    """Of each picture, drawn anew in every epoch."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    temperature: Annotated[float, Field(gt=0)] = 0.035
    kernel_rate: Annotated[float, Field(gt=0)] = 50.0
    """Times the learning rate for the weights of the kernels, which would stay equal otherwise."""
    loss: Annotated[str, _known(LOSSES, PAIR_LOSSES)] = "info-nce"
    """A name of ``LOSSES`` or ``PAIR_LOSSES``."""
    optimizer: Literal["adamw", "sgd"] = "adamw"
    plateau: Annotated[int, Field(ge=0)] = 0
    """Epochs without a better dev score after which the rate is a tenth; 0 is warm-up and decay."""
    averaging: Share = 0.998
    """Decay of the running mean of the weights, which is what is kept; 0 keeps the last."""

    width: Annotated[int, Field(ge=8)] = 256
    dim: Annotated[int, Field(ge=8, le=77)] = 64
    """Of a packed part: with 25 cells, a picture takes at most 4 KB."""
    heads: Annotated[int, Field(ge=1)] = 4
    depth: Annotated[int, Field(ge=0, le=100)] = 1
    """Blocks of the visual transformer; 0 leaves it out."""
    levels: Levels = ("words", "phrases", "cells", "whole")
    kernels: Levels = ("linear", "polynomial:3", "rbf:2", "laplacian:1")
    kernel_weights: Literal["joint", "simplemkl"] = "joint"
    """Learnt with the rest, or refitted in the end by SimpleMKL on pairs of dev."""
    dropout: Share = 0.2
    input_dropout: Share = 0.3
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it is trained: "auto" is the GPU where torch finds one."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 is mixed: the weights stay float32."""

    def recipe(self) -> Recipe:
        """Return the grids that a picture needs."""
        return Recipe(dict(self.image_levels))

    @model_validator(mode="after")
    def _refuse_shares_as_pairs(self) -> Self:
        if "ricap" in self.views and self.loss not in PAIR_LOSSES:
            raise ConfigError(
                "A ricap view belongs to several pictures by their shares, which only "
                "loss=match-error can learn: set it, or leave ricap out of views."
            )
        return self


class PaperCrossModalConfig(CrossModalConfig):
    """MKL-VisITA's network trained as its paper says.

    The paper's: a vocabulary of the training texts, read by an RNN (or ``transformer``); SGD
    with a rate of 0.001 that is lowered by the results on dev, batches of 64, 100 epochs, the
    squared error of match and label, random crops, mirroring and RICAP. It prints no more: the
    sizes, kernels, levels, dropout, factor and patience of the rate, the end of a run that no
    longer improves, and how it is augmented (four views a picture, beforehand) are ours, as
    is that an epoch has every caption, with as many false pairs. Pictures are scaled and
    normalised as their pretrained encoder wants it. Splits are the data's own; where they
    have none, 70 / 15 / 15 is drawn.
    """

    image_levels: ImageLevels = LAST_GRIDS
    views: Views = ("crop", "flip", "crop-flip", "ricap")
    text_side: Literal["pretrained", "recurrent", "transformer"] = "recurrent"
    epochs: Annotated[int, Field(ge=0)] = 100
    patience: Annotated[int, Field(ge=1)] = 10
    texts_per_image: Annotated[int, Field(ge=1)] = 5
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    kernel_rate: Annotated[float, Field(gt=0)] = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    loss: Annotated[str, _known(LOSSES, PAIR_LOSSES)] = "match-error"
    optimizer: Literal["adamw", "sgd"] = "sgd"
    plateau: Annotated[int, Field(ge=0)] = 3
    averaging: Share = 0.0


class MklVisitaConfig(Settings):
    """Both stages of MKL-VisITA, with the values that ``visita-base`` has.

    Examples
    --------
    >>> visita.MklVisitaConfig(second={"epochs": 2}).second.epochs
    2
    """

    trained_by: ClassVar[str] = "visita.training.two_stage:train_two_stages"

    seed: Seed = 0
    first: FusionConfig = FusionConfig(image_levels=BASE, hidden=768)
    """The vectors; its own seed is not used."""
    second: CrossModalConfig = CrossModalConfig()
    """The re-ranker; its own seed is not used."""

    def stages(self) -> tuple[FusionConfig, CrossModalConfig]:
        """Return the two with the seed of the whole."""
        seed = {"seed": self.seed}
        return self.first.model_copy(update=seed), self.second.model_copy(update=seed)


class MklVisitaPaperConfig(Settings):
    """MKL-VisITA as its paper trains it: one network, for the vectors and for re-ranking.

    Examples
    --------
    >>> visita.MklVisitaPaperConfig().second.optimizer
    'sgd'
    """

    trained_by: ClassVar[str] = "visita.training.two_stage:train_two_stages"

    seed: Seed = 0
    second: PaperCrossModalConfig = PaperCrossModalConfig()
    """The network; its own seed is not used."""

    def stages(self) -> tuple[None, CrossModalConfig]:
        """Return that there is no first stage of its own, and the second."""
        return None, self.second.model_copy(update={"seed": self.seed})

    @model_validator(mode="after")
    def _refuse_vectors_that_nothing_learns(self) -> Self:
        if "whole" not in self.second.levels:
            raise ConfigError("second.levels needs whole: it is what teaches the vectors.")
        return self
