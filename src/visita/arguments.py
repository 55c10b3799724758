"""Arguments of public calls, told right from wrong where they come in.

A wrong kind of thing is a ``TypeError`` that says what is taken; a wrong setting, such as
``k=0``, is a ``ConfigError``, as on the command line.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable
from numbers import Integral, Real
from typing import Any

from visita.errors import ConfigError, UnknownNameError, did_you_mean

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
    found = list(values)
    for place, value in enumerate(found, 1):
        if not isinstance(value, kinds):
            raise TypeError(f"{taken}; number {place} is {_told(value)}.")
    return found


def whole(value: object, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number of at least ``least``, and at most ``most`` if that is given.

    Raises
    ------
    ConfigError
        If it is anything else.
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        given = int(value)
        if least <= given and (most is None or given <= most):
            return given
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
            hint = did_you_mean(level, known)
            raise UnknownNameError(f"{encoder} has no level {level!r}.{hint}")


def _told(value: object) -> str:
    if value is None:
        return "None"
    kind = type(value).__name__
    return f"{'an' if kind[0].lower() in 'aeiou' else 'a'} {kind}"


def _shown(value: object) -> str:
    return reprlib.repr(value)
