"""Settings of a training run: one frozen model, the same for Python, TOML and the command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from visita.errors import ConfigError, did_you_mean
from visita.types import Recipe

Share = Annotated[float, Field(ge=0, lt=1)]
Levels = Annotated[tuple[str, ...], Field(min_length=1)]


class LoopConfig(BaseModel):
    """What every run has: seed, batches, schedule and loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = 0
    epochs: Annotated[int, Field(ge=0)] = 7
    patience: Annotated[int, Field(ge=1)] = 3
    """Epochs without a better dev score before training stops."""
    batch: Annotated[int, Field(ge=2)] = 256
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.1
    temperature: Annotated[float, Field(gt=0)] = 0.05
    label_smoothing: Share = 0.05
    mix_texts: bool = True
    """Replace a text by a random mean of it and another text of the same image."""

    @classmethod
    def read(cls, path: Path | None = None, settings: Sequence[str] = ()) -> Self:
        """Return the defaults, changed by a TOML file and then by ``key=value`` settings.

        Raises
        ------
        ConfigError
            If a key is unknown (with the nearest known one) or a value does not fit.
        """
        values: dict[str, Any] = _read_toml(path) if path else {}
        return cls.of({**values, **dict(_setting(one) for one in settings)})

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the defaults changed by ``values``.

        Raises
        ------
        ConfigError
            If a key is unknown (with the nearest known one) or a value does not fit.
        """
        unknown = [key for key in values if key not in cls.model_fields]
        if unknown:
            hints = (f"Unknown setting {k!r}.{did_you_mean(k, cls.model_fields)}" for k in unknown)
            raise ConfigError(f"{' '.join(hints)} Known: {', '.join(cls.model_fields)}.")
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ConfigError(f"Settings do not fit: {'; '.join(wrong)}.") from error


class FusionConfig(LoopConfig):
    """Everything that decides a fusion matcher, with the values that ``visita-small`` has.

    Chosen on Flickr8k dev; the experiments are in ``docs/notebook.md``.
    """

    image_levels: Annotated[dict[str, Levels], Field(min_length=1)] = {
        "efficientnet-lite2": (
            "block10:avg",
            "block10:max",
            "block15:avg",
            "block15:max",
            "block19:avg",
            "block19:max",
            "head:avg",
            "classes",
        )
    }
    """Levels of each image encoder; ``classes``, if any, feeds only the class-name kernel."""
    mirror: bool = True
    """Train on the mirrored view too, and average both views in use."""
    text_encoder: str = "minilm-l6"
    text_levels: Levels = ("layer3", "layer4", "layer5", "layer6")

    dim: Annotated[int, Field(ge=1, le=1024)] = 512
    """Width of a picture's vector, all kernels together."""
    fusion_dim: Annotated[int, Field(ge=1, le=1024)] = 384
    hidden: Annotated[int, Field(ge=1)] = 1024
    dropout: Share = 0.6
    input_dropout: Share = 0.4
    image_ridge: Annotated[float, Field(gt=0)] = 2.0
    text_ridge: Annotated[float, Field(gt=0)] = 0.1
    class_names_weight: Share = 0.15
    """beta of the class-name kernel; 0 leaves it out."""

    keywords_per_image: Annotated[int, Field(ge=0)] = 2
    """Texts of one to three words drawn from each training image's captions."""
    keyword_weight: Annotated[float, Field(ge=0)] = 0.1
    """How much their loss counts beside the captions'."""

    def recipe(self) -> Recipe:
        """Return the features that a picture needs."""
        return Recipe(dict(self.image_levels), self.mirror)


class AdaptConfig(LoopConfig):
    """Adapting a trained matcher to a few pairs: slower and shorter."""

    epochs: Annotated[int, Field(ge=0)] = 10
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from error


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"A setting is key=value; {text!r} has no '='.")
    try:
        return key.strip(), json.loads(value)
    except ValueError:
        return key.strip(), value
