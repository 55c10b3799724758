"""The command that makes a report again, without the folders of this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import join

from visita.data.pairs import PairSet


def reader_of(pairs: PairSet) -> str:
    """Return the name of the reader that pairs were read by."""
    return pairs.source.partition(":")[0]


def shown(matcher: str) -> str:
    """Return what a matcher is called where folders of this machine have no place."""
    family, colon, place = matcher.rpartition(":")
    path = Path(place).expanduser()
    return f"{family}{colon}{path.resolve().name}" if path.exists() else matcher


def command(words: Sequence[str], pairs: PairSet, options: Sequence[str]) -> str:
    """Return ``visita WORDS`` on the pairs, with options."""
    data = f"{reader_of(pairs)}:PATH"
    return join(["visita", *words, "--data", data, "--out", "DIR", *options])
