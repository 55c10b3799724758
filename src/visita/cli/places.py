"""Folders given on the command line: what is wrong with one, and the likely right command."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from visita.artifact import MANIFEST
from visita.errors import ConfigError, did_you_mean

GLOB = frozenset("*?[")


def folders(places: Sequence[str], query: str | None = None) -> list[Path]:
    """Return the folders that the command line names.

    ``query`` is what stands before them, where that is a text of one's own.

    Raises
    ------
    ConfigError
        If one is no folder; the message says what it is, and what to write.
    """
    wrong = [place for place in places if not Path(place).is_dir()]
    if options := [place for place in wrong if place.startswith("-")]:
        raise ConfigError(f"There is no folder {options[0]!r}: options come before the '--'.")
    if wrong:
        raise ConfigError(_misread(query, places, wrong) or _fault(wrong[0]))
    return [Path(place) for place in places]


def check_out(out: Path, force: bool | None = None) -> None:
    """Refuse to write where a matcher is kept, unless ``force``; None where nothing may.

    Raises
    ------
    ConfigError
        If ``out`` holds a matcher, or an encoder that was trained, or is a file.
    """
    if out.is_file():
        raise ConfigError(f"{out} is a file: name a new folder by --out.")
    if not force and (out / MANIFEST).is_file():
        more = "" if force is None else ", or add --force to replace it"
        raise ConfigError(f"{out} holds a matcher or an encoder: name another --out{more}.")


def check_drawing(out: Path, given: Sequence[str | Path]) -> None:
    """Refuse to draw over a picture of one's own.

    Raises
    ------
    ConfigError
        If ``out`` is one of the files ``given``, or a file in one of the folders.
    """
    real = out.resolve()
    for one in map(Path, given):
        inside = one.is_dir() and real.is_relative_to(one.resolve())
        if real.is_file() and (inside or (one.is_file() and real.samefile(one))):
            where = f"is in the folder {one}" if inside else "is the picture itself"
            raise ConfigError(f"{out} {where}, and would be overwritten: name another file.")


def _misread(query: str | None, places: Sequence[str], wrong: Sequence[str]) -> str:
    """Return what to write where a query was given without quotes, or after its folder."""
    if query is None:
        return ""
    last = 1 + max(number for number, place in enumerate(places) if place in wrong)
    rest = places[last:] or ["FOLDER"]
    if len(wrong) == 1 and Path(query).is_dir():
        query, rest, fault = wrong[0], [query, *places[last:]], "the query comes first"
    elif len(places) > 1 and all(map(_is_word, [query, *wrong])):
        query, fault = " ".join([query, *places[:last]]), "a query of several words takes quotes"
    else:
        return ""
    line = " ".join(["visita search", f'"{query}"', *map(shlex.quote, rest)])
    return f"There is no folder {wrong[0]!r}; {fault}:  {line}"


def _is_word(place: str) -> bool:
    return not place.startswith(("~", ".")) and not (GLOB | set("/\\ ")) & set(place)


def _fault(place: str) -> str:
    path = Path(place)
    if place.startswith("~"):
        return (
            f"{place!r} is no folder: a shell replaces ~ only outside quotes. Write "
            f"{shlex.quote(os.path.expanduser(place))}."  # noqa: PTH111 - no user, no error
        )
    if path.exists():
        beside = shlex.quote(str(path.parent))
        return f"{place!r} is a file: name the folder that it is in:  {beside}"
    if not GLOB.isdisjoint(place):
        return f"{place!r} matches nothing: name a folder, and what to leave out by --exclude."
    names = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
    return (
        f"There is no folder {place!r}.{did_you_mean(path.name, names)} "
        "If it was moved, name where it is now; if it is on another disk, connect that."
    )
