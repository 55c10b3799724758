"""The catalogue as galleries of format 1 have it, in SQLite: read once, then replaced."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from visita.errors import DamagedError

_INDEX = "index.sqlite"
_QUERY = "SELECT path, size, mtime_ns, digest, error, decoder FROM pictures"
_PASSING = "cannot be read"
"""What errors began with that said nothing of the content."""


def read_index(place: Path) -> dict[str, tuple[Any, ...]]:
    """Return the facts of ``catalog.Entry`` by path; none if there is no such catalogue.

    Raises
    ------
    DamagedError
        If it cannot be read.
    """
    path = place / _INDEX
    if not path.exists():
        return {}
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        ) as connection:
            connection.text_factory = bytes
            rows = [_checked(row) for row in connection.execute(_QUERY)]
    except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
        raise DamagedError(f"{path} is damaged ({error}).") from error
    return {row[0]: row[1:] for row in rows if not (row[5] or "").startswith(_PASSING)}


def remove_index(place: Path) -> None:
    """Delete the catalogue, once another has taken its place."""
    for name in (_INDEX, f"{_INDEX}-journal"):
        (place / name).unlink(missing_ok=True)


def _checked(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return path and facts of one row.

    Raises
    ------
    ValueError, TypeError
        If they are of other kinds: SQLite keeps whatever damage makes of them.
    """
    path, size, mtime_ns, digest, error, decoder = row
    if not (isinstance(size, int) and isinstance(mtime_ns, int) and len(digest) == 64):
        raise ValueError("a row holds other kinds of values")
    bytes.fromhex(digest.decode())
    words = None if error is None else error.decode()
    return os.fsdecode(path), size, mtime_ns, 0, digest.decode(), words, decoder.decode()
