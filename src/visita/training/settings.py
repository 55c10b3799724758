"""Settings: one frozen model a stage, the same for Python, TOML and the command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from visita.errors import ConfigError, did_you_mean


class Settings(BaseModel):
    """A frozen set of named values that refuses names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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
