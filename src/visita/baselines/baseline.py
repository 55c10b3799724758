"""What the baselines share: a configuration that trains a network on features or on words."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator

from visita.data.pairs import PairSet
from visita.encoders.contract import cell_count
from visita.encoders.vocabulary import Vocabulary
from visita.errors import ConfigError
from visita.store.pictures import RecipeEncoder
from visita.training.config import FeatureConfig, ImageLevels, Levels, LoopConfig
from visita.training.grids import CrossTensors
from visita.training.loop import History, Losses, fit, warm_up_and_cosine
from visita.training.tensors import PairTensors, level_widths
from visita.training.tuning import Validate
from visita.types import FloatArray, Recipe

POOLED: dict[str, Levels] = {"efficientnet-lite2": ("head:avg",)}
"""The last layer before the classes, as these systems read it of the networks of their time."""
CELLS: dict[str, Levels] = {"efficientnet-lite2": ("block20:5x5",)}
"""The last grid, for those that look at parts of a picture."""


class Baseline(LoopConfig, ABC):
    """A system that the papers compare with; the first line of its docstring says what it is."""

    trained_by: ClassVar[str] = "visita.baselines.train:train_baseline"
    paper: ClassVar[str]
    """Who wrote of it and when; the titles are with its network."""
    extra: ClassVar[str | None] = None
    """The extra of this package that it needs."""
    closed_form: ClassVar[bool] = False
    """It is solved for, so that settings of a training loop would do nothing."""

    @abstractmethod
    def check(self) -> None:
        """Make sure, before long work, that it can read such levels.

        Raises
        ------
        ConfigError
            If it cannot.
        UnknownNameError
            If there is no such encoder or level.
        """

    @model_validator(mode="after")
    def _refuse_settings_of_a_loop(self) -> Self:
        given = [name for name in LoopConfig.model_fields if name in self.model_fields_set]
        if self.closed_form and set(given) - {"seed"}:
            raise ConfigError(
                f"{' and '.join(n for n in given if n != 'seed')} would do nothing: "
                "this is solved in closed form."
            )
        return self


class VectorBaseline(FeatureConfig, Baseline):
    """A system that maps fixed features of pictures and texts into one space.

    Texts are, unless set otherwise, TF-IDF over the words of the training texts, of which
    LSA keeps the 500 strongest directions.
    """

    network: ClassVar[str]
    """Name in ``NETWORKS``."""

    image_levels: ImageLevels = POOLED
    mirror: bool = False
    text_encoder: str = "lsa"
    text_levels: Levels = ("topics",)

    def check(self) -> None:
        """Refuse grids, and what does not exist."""
        level_widths(self)

    def prepared(self, train: PairSet) -> Self:
        """Return the configuration with what is fitted on training pictures before the rest."""
        del train
        return self

    @abstractmethod
    def learn(
        self, train: PairTensors, dev: PairTensors, validate: Validate
    ) -> tuple[Any, History]:
        """Return the trained two-sided network, and what happened.

        Raises as ``loop.fit`` does.
        """


class WordBaseline(Baseline):
    """A system that reads the words of texts itself, with a vocabulary of the training texts."""

    image_levels: ImageLevels = POOLED
    """Pooled levels, or grids of one number of cells."""
    vocabulary: Annotated[int, Field(ge=1)] = 10_000
    """Words at most, the most frequent ones."""
    longest: Annotated[int, Field(ge=1)] = 64
    """Words of a text that are read; stderr says how many texts are longer."""

    def recipe(self) -> Recipe:
        """Return the features that a picture needs."""
        return Recipe(dict(self.image_levels))

    def check(self) -> None:
        """Refuse levels of different numbers of cells, and what does not exist."""
        cell_count(RecipeEncoder(self.recipe()).columns())

    @abstractmethod
    def learn(
        self,
        train: CrossTensors,
        dev: CrossTensors,
        validate: Callable[..., float],
        vocabulary: Vocabulary,
    ) -> tuple[Any, History]:
        """Return the trained pair network, and what happened.

        ``validate`` is a ``Validate``, for a ``PairBaseline`` a ``ValidateScores``.

        Raises as ``loop.fit`` does.
        """


def mean_view(pairs: PairTensors) -> FloatArray:
    """Return the mean of each picture's views, float32 (n, d)."""
    return np.asarray(pairs.images.mean(axis=1), np.float32)


def fit_by_adam(
    network: Any,
    losses: Losses,
    validate: Callable[[], float],
    config: LoopConfig,
    steps: int,
    *,
    longest_gradient: float = math.inf,
) -> History:
    """Train a network in place with Adam, whose rate rises and falls over ``steps``.

    The rest is as for ``fit``.
    """
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    rate = partial(warm_up_and_cosine, steps=steps)
    return fit(
        *(network, losses, optimizer, validate, config, rate), longest_gradient=longest_gradient
    )
