"""Pair features as the arrays that training reads, and what each kernel reads of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.encoders.table import TOPIC_MODELS
from visita.encoders.weights import rounded
from visita.errors import ConfigError
from visita.matchers.embed import JointMatcher, encoder_fingerprints, stack_columns
from visita.networks.fusion import JointSpace
from visita.networks.part import Part
from visita.store.extract import PairFeatures
from visita.store.pictures import RecipeEncoder
from visita.training.config import FeatureConfig, FusionConfig
from visita.types import FloatArray, Recipe, TextEncoder, TopicModel


@dataclass(frozen=True)
class Spans:
    """First and last-but-one feature of each kernel's part; ``sentence`` is the last text level."""

    fusion: tuple[int, int]
    classes: tuple[int, int] | None
    text: tuple[int, int]
    sentence: tuple[int, int]

    @classmethod
    def whole(cls, images: int, texts: int) -> Self:
        """Return the layout in which one network reads everything."""
        return cls((0, images), None, (0, texts), (0, texts))


def level_widths(config: FeatureConfig) -> list[tuple[str, int]]:
    """Return name and width of every image level, in the order of the stacked features.

    Raises
    ------
    ConfigError
        If a level is a grid.
    UnknownNameError
        If there is no such encoder or level.
    """
    shapes = RecipeEncoder(Recipe(config.image_levels)).columns()
    widths = []
    for encoder, levels in config.image_levels.items():
        for level in levels:
            width = shapes[f"{encoder}/{level}"]
            if not isinstance(width, int):
                raise ConfigError(
                    f"Levels are fused pooled, and {level} of {encoder} is a grid; "
                    "use :avg or :max, not :grid."
                )
            widths.append((level, width))
    return widths


def spans_of(config: FusionConfig, text: TextEncoder) -> Spans:
    """Return the layout of the stacked features.

    Raises
    ------
    ConfigError
        If a level is a grid, or ``classes`` is not the last level or the only one.
    UnknownNameError
        If there is no such encoder or level.
    """
    widths = level_widths(config)
    sentence = text.dim // len(text.levels)
    levels = [level for level, _ in widths]
    if "classes" in levels[:-1]:
        raise ConfigError("'classes' must be the last image level, and there only once.")
    if config.class_names_weight > 0 and levels[-1] != "classes":
        raise ConfigError(
            "The class-name kernel needs 'classes' as the last image level; add it, "
            "or set class_names_weight=0."
        )
    total = sum(width for _, width in widths)
    fusion = total - (widths[-1][1] if levels[-1] == "classes" else 0)
    if fusion == 0:
        raise ConfigError("The fusion network needs at least one level besides 'classes'.")
    return Spans(
        (0, fusion),
        (fusion, total) if config.class_names_weight > 0 else None,
        (0, text.dim),
        (text.dim - sentence, text.dim),
    )


ROWS = 1024
"""Rows at a time where a copy of all would be large."""


@dataclass(frozen=True)
class PairTensors:
    """Images float32 (n, views, d), texts float32 (m, e), truth sparse bool (n, m).

    Where pairs are marked wrong, ``wrong`` has their rows of ``images`` and ``texts``, int64
    (w, 2), which may come after those of ``truth``.
    """

    images: FloatArray
    texts: FloatArray
    truth: sparse.csr_array
    wrong: NDArray[np.int64] | None = None

    @classmethod
    def of(cls, features: PairFeatures, recipe: Recipe) -> Self:
        """Stack the recipe's columns and pool each text's passages."""
        truth = features.pairs.truth.tocsr()
        return cls(stack_columns(features.columns, recipe), features.texts.pooled(), truth)


def statistics(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each feature, float32 (d,), of rows (n, d)."""
    mean = rows.mean(0)
    blocks = (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))
    spread = np.sqrt(sum(np.square(block - mean).sum(0) for block in blocks) / len(rows))
    # A feature that is constant here may change in use; divided by nearly nothing, it
    # would drown all others.
    return mean, np.where(spread > 1e-6, spread, np.float32(1))


def standardised(rows: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """Return (rows - mean) / scale, holding one copy of the rows."""
    result = rows - mean
    result /= scale
    return result


def as_matcher(name: str, space: JointSpace, recipe: Recipe, text: TextEncoder) -> JointMatcher:
    """Return the space as a matcher, its weights rounded."""
    return JointMatcher(
        name=name,
        recipe=recipe,
        text_encoder=text.name,
        text_levels=text.levels,
        space={
            "image_features": space.image_features,
            "text_features": space.text_features,
            **space.arguments(),
        },
        tensors=rounded({name: v.numpy() for name, v in space.state_dict().items()}),
        encoders=encoder_fingerprints(recipe, text),
        topic_model=cast(TopicModel, text) if text.name in TOPIC_MODELS else None,
    )


def whole_space(network: Any, name: str, images: int, texts: int) -> JointSpace:
    """Return the space of one two-sided network, called ``name``, that reads all features."""
    part = Part(
        network=name,
        arguments=network.arguments,
        image_span=(0, images),
        text_span=(0, texts),
        weight=1.0,
    )
    space = JointSpace(images, texts, parts=[part], dim=network.dim)
    space.networks[0] = network
    return space.eval()
