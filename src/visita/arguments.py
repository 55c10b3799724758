"""Arguments of public calls, told right from wrong where they come in.

A wrong kind of thing is a ``TypeError`` that says what is taken; a wrong setting, such as
``k=0``, is a ``ConfigError``, as on the command line.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from visita.brief import brief
from visita.errors import ConfigError, UnknownNameError, did_you_mean
from visita.types import is_grid

Kinds = type | tuple[type, ...]


def expect(value: object, kinds: Kinds, taken: str) -> None:
    """Refuse what is not of ``kinds``; ``taken`` says what is, as in "A text is a str".

    Raises
    ------
    TypeError
        Which says what is taken, and what came instead.
    """
    if not isinstance(value, kinds):
        raise TypeError(f"{taken}; not {_told(value)}.")


def listed(values: Any, kinds: Kinds, taken: str) -> list[Any]:
    """Return values of ``kinds`` as a list; ``taken`` is as in "texts are a list of str".

    Raises
    ------
    TypeError
        If it is one value instead of several, or one of them is of another kind.
    """
    if isinstance(values, kinds):
        raise TypeError(f"{taken}; not {_told(values)} alone: put it into a list.")
    expect(values, Iterable, taken)
    items = list(values)
    for place, value in enumerate(items, 1):
        if not isinstance(value, kinds):
            raise TypeError(f"{taken}; number {place} is {_told(value)}.")
    return items


def whole(value: object, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number of at least ``least``, and at most ``most`` if that is given.

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        integer = int(value)
        if least <= integer and (most is None or integer <= most):
            return integer
    within = f"of at least {least}" if most is None else f"from {least} to {most:,}"
    raise ConfigError(f"{name} is a whole number {within}, not {_shown(value)}.")


def number(value: object, name: str, low: float, high: float) -> float:
    """Return a number from ``low`` to ``high``.

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    if isinstance(value, Real) and not isinstance(value, bool) and low <= float(value) <= high:
        return float(value)
    raise ConfigError(f"{name} is a number from {low:g} to {high:g}, not {_shown(value)}.")


def one_of(value: object, name: str, known: Collection[str]) -> str:
    """Return one of the known words.

    Raises
    ------
    UnknownNameError
        If it is none of them; the message has the nearest.
    """
    if not isinstance(value, str) or value not in known:
        hint = did_you_mean(str(value), known)
        raise UnknownNameError(f"{name} is {', '.join(known)}; not {_shown(value)}.{hint}")
    return value


def check_levels(encoder: str, levels: Iterable[str], known: Collection[str]) -> None:
    """Refuse levels that an encoder, named so, does not have.

    Raises
    ------
    UnknownNameError
        If it lacks one; the message has the nearest that it has.
    """
    for level in levels:
        if level not in known:
            layer, _, _ = level.rpartition(":")
            if is_grid(level) and f"{layer}:avg" in known:  # such as that of NaFlex
                raise UnknownNameError(
                    f"{encoder} has no level {level!r}, as its {layer} has no square of cells: "
                    f"use another encoder, or {layer}:avg."
                )
            hint = did_you_mean(level, known)
            raise UnknownNameError(f"{encoder} has no level {level!r}.{hint}")


def _told(value: object) -> str:
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _shown(value: object) -> str:
    return reprlib.repr(value)


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
            wrong = map(_misfit, error.errors()[:SHOWN])
            raise ConfigError(f"Settings do not fit: {'; '.join(wrong)}.") from error

    def __repr__(self) -> str:
        """Return the class and what is not default, in one line."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        fields = type(self).model_fields.items()
        changed = {name: values[name] for name, field in fields if values[name] != field.default}
        shown = (f"{name}={brief(value)}" for name, value in changed.items())
        return f"{type(self).__name__}({', '.join(shown)})"

    __str__ = __repr__

    def __dir__(self) -> list[str]:
        """Return the fields and the class's own names, not pydantic's."""
        return sorted({*super().__dir__()} - {*dir(BaseModel)} | {*type(self).model_fields})


def _misfit(error: Mapping[str, Any]) -> str:
    name = ".".join(map(str, error["loc"]))
    # Of what a check of ours raised, pydantic tells the kind too.
    return f"{name}: {error['msg'].removeprefix('Value error, ')}"


def _unknown(key: str, known: Iterable[str]) -> str:
    return f"Unknown setting {key[:LONG]!r}.{did_you_mean(key[:LONG], known)}"
