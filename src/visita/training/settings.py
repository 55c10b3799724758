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

        A key of settings within these is ``name.key``, and a table of its own in TOML.

        Raises
        ------
        ConfigError
            If a key is unknown (with the nearest known one) or a value does not fit.
        """
        values: dict[str, Any] = _read_toml(path) if path else {}
        for one in settings:
            _put(values, *_setting(one))
        return cls.of(values)

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
            return cls.model_validate({k: cls._over_default(k, v) for k, v in values.items()})
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
            raise ConfigError(f"Settings do not fit: {'; '.join(wrong)}.") from error

    @classmethod
    def _over_default(cls, key: str, value: Any) -> Any:
        """Return settings within these as the default's, changed by what is given."""
        default = cls.model_fields[key].default
        if not (isinstance(default, Settings) and isinstance(value, Mapping)):
            return value
        return type(default).of({**default.model_dump(exclude_unset=True), **value})


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from error


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    outer, dot, inner = key.partition(".")
    if not dot:
        values[key] = value
        return
    within = values.setdefault(outer, {})
    if not isinstance(within, dict):
        raise ConfigError(f"{outer} is set to {within!r}, so that there is no {key}.")
    _put(within, inner, value)


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"A setting is key=value; {text!r} has no '='.")
    try:
        return key.strip(), json.loads(value)
    except ValueError:
        return key.strip(), value
