"""A frozen set of named values that refuses names and values which do not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from visita.brief import brief
from visita.errors import ConfigError, did_you_mean

SHOWN, LONG = 5, 100
"""Faults that are told, and characters of what was given."""


class Frozen(BaseModel):
    """The base of settings and of descriptions of kernels; its ``repr`` has what is not default.

    Raises
    ------
    ConfigError
        If a name is unknown (with the nearest known one) or a value does not fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _say_what_does_not_fit(cls, values: Any, read: Callable[[Any], Self]) -> Self:
        names = cls.model_fields
        unknown = [key for key in values if key not in names] if isinstance(values, dict) else []
        if unknown:
            hints = (_unknown(str(key), names) for key in unknown[:SHOWN])
            more = f" And {len(unknown) - SHOWN:,} more." if len(unknown) > SHOWN else ""
            raise ConfigError(f"{' '.join(hints)}{more} Known: {', '.join(names)}.")
        try:
            return read(values)
        except ValidationError as error:
            wrong = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()[:SHOWN])
            raise ConfigError(f"Settings do not fit: {'; '.join(wrong)}.") from error

    def __repr__(self) -> str:
        """Return the class and what is not default, in one line."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        fields = type(self).model_fields.items()
        changed = {name: values[name] for name, one in fields if values[name] != one.default}
        shown = (f"{name}={brief(value)}" for name, value in changed.items())
        return f"{type(self).__name__}({', '.join(shown)})"

    __str__ = __repr__

    def __dir__(self) -> list[str]:
        """Return the fields and the class's own names, not pydantic's."""
        return sorted({*super().__dir__()} - {*dir(BaseModel)} | {*type(self).model_fields})


def _unknown(key: str, known: Iterable[str]) -> str:
    return f"Unknown setting {key[:LONG]!r}.{did_you_mean(key[:LONG], known)}"
