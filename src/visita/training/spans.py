"""Where the stacked features hold what each kernel reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from visita.errors import ConfigError
from visita.store.pictures import RecipeEncoder
from visita.training.config import FeatureConfig, FusionConfig
from visita.types import Recipe, TextEncoder


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
