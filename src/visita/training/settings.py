"""Settings: one frozen model a stage, the same for Python, TOML and the command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from operator import methodcaller
from pathlib import Path
from typing import Any, Self

from visita.arguments import LONG, Frozen
from visita.data.files import read_limited
from visita.errors import ConfigError, DataError

MOST_BYTES = 1_000_000
"""Of a file with settings."""
MOST_PARTS = 1_000
DEEPEST = 10
"""Levels of settings within settings; there are three."""


class Settings(Frozen):
    """A frozen set of named values, which a file and the command line can change too."""

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
        for setting in settings:
            _put(values, *_setting(setting))
        return cls.of(values)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the defaults changed by ``values``.

        Raises
        ------
        ConfigError
            If a key is unknown (with the nearest known one) or a value does not fit.
        """
        try:
            return cls.model_validate({k: cls._over_default(k, v) for k, v in values.items()})
        except RecursionError as error:
            raise ConfigError("Settings do not fit: one is nested too deeply.") from error

    @classmethod
    def _over_default(cls, key: str, value: Any) -> Any:
        """Return settings within these as the default's, changed by what is given."""
        field = cls.model_fields.get(key)
        default = field and field.default
        if not (isinstance(default, Settings) and isinstance(value, Mapping)):
            return value
        return type(default).of({**default.model_dump(exclude_unset=True), **value})


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = read_limited(path, MOST_BYTES).decode("utf-8")
        # tomllib looks at all of a dotted key again for each of its parts.
        if max(map(methodcaller("count", "."), text.splitlines()), default=0) > MOST_PARTS:
            raise ConfigError(f"{path} has a line with more than {MOST_PARTS} dots.")
        return tomllib.loads(text)
    except DataError as error:
        raise ConfigError(str(error)) from error
    except RecursionError as error:
        raise ConfigError(f"{path} cannot be read as TOML: it is nested too deeply.") from error
    except ValueError as error:
        raise ConfigError(f"{path} cannot be read as TOML: {error}.") from error


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *outer, last = key.split(".")
    within: Any = values
    for name in outer:
        within = within.setdefault(name, {})
        if not isinstance(within, dict):
            raise ConfigError(f"{name[:LONG]} is set to {within!r}, so that there is no {key}.")
    within[last] = value


def _setting(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"A setting is key=value; {text!r} has no '='.")
    if key.count(".") > DEEPEST:
        raise ConfigError(f"There are no settings within settings of {key.count('.'):,} levels.")
    try:
        return key.strip(), json.loads(value)
    except ValueError:
        return key.strip(), value
    except RecursionError as error:
        raise ConfigError(f"The value of {key[:LONG]} is nested too deeply.") from error
