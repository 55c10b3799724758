"""Where the stacked features hold what each kernel reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from visita.errors import ConfigError
from visita.features.encoders import TEXT_ENCODERS
from visita.features.pictures import RecipeEncoder
from visita.training.config import FusionConfig
from visita.types import Recipe


@dataclass(frozen=True)
class Spans:
    """First and last-but-one feature of each kernel's part; ``sentence`` is the last text level."""

    fusion: tuple[int, int]
    classes: tuple[int, int] | None
    text: tuple[int, int]
    sentence: tuple[int, int]


def spans_of(config: FusionConfig) -> Spans:
    """Return the layout of the stacked features.

    Raises
    ------
    ConfigError
        If a level is a grid, or ``classes`` is not the last level or the only one.
    UnknownNameError
        If there is no such encoder or level.
    """
    shapes = RecipeEncoder(Recipe(config.image_levels)).columns()
    widths = [
        (level, int(np.prod(shapes[f"{encoder}/{level}"])))
        for encoder, levels in config.image_levels.items()
        for level in levels
    ]
    if any(level.endswith(":grid") for level, _ in widths):
        raise ConfigError("The fusion network reads pooled levels; use :avg or :max, not :grid.")
    text = TEXT_ENCODERS.load(config.text_encoder)(config.text_levels)
    sentence = text.dim // len(config.text_levels)
    levels = [level for level, _ in widths]
    if "classes" in levels[:-1]:
        raise ConfigError("'classes' must be the last image level, and there only once.")
    if config.class_names_weight > 0 and levels[-1] != "classes":
        raise ConfigError(
            "The class-name kernel needs 'classes' as the last image level; add it, "
            "or set class_names_weight=0."
        )
    whole = sum(width for _, width in widths)
    fusion = whole - (widths[-1][1] if levels[-1] == "classes" else 0)
    if fusion == 0:
        raise ConfigError("The fusion network needs at least one level besides 'classes'.")
    return Spans(
        (0, fusion),
        (fusion, whole) if config.class_names_weight > 0 else None,
        (0, text.dim),
        (text.dim - sentence, text.dim),
    )
