"""Which files a gallery has seen, by path: what they looked like and what they held.

Kept in SQLite. Paths are relative to the gallery's folder and stored as the file system's
own bytes, so that any name survives.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from visita.errors import ArtifactError

_PATIENCE = 60.0
"""Seconds to wait while another process commits."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    path BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    digest TEXT NOT NULL,
    error TEXT,
    decoder TEXT NOT NULL
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file as it was when it was last read.

    Attributes
    ----------
    size, mtime_ns : int
        Bytes and time of the last change; while both stay, so does the content.
    digest : str
        Hex SHA-256 of the content.
    error : str or None
        Why it is no picture, if so.
    decoder : str
        Versions of what decoded it: others may succeed.
    """

    size: int
    mtime_ns: int
    digest: str
    error: str | None
    decoder: str


class Catalog:
    """The table of one gallery, open for reading and writing; close it after use.

    Raises
    ------
    ArtifactError
        If the file is damaged or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._guard():
            self._connection = sqlite3.connect(path, timeout=_PATIENCE)
            self._connection.execute(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def entries(self) -> dict[str, Entry]:
        """Return all files by path, in the order of their paths."""
        query = "SELECT path, size, mtime_ns, digest, error, decoder FROM pictures ORDER BY path"
        with self._guard():
            return {os.fsdecode(path): Entry(*rest) for path, *rest in self._rows(query)}

    def digests(self) -> dict[str, str]:
        """Return the digests of all files that are pictures by path, in the order of paths."""
        query = "SELECT path, digest FROM pictures WHERE error IS NULL ORDER BY path"
        with self._guard():
            return {os.fsdecode(path): digest for path, digest in self._rows(query)}

    def update(self, entries: Mapping[str, Entry], remove: Iterable[str] = ()) -> None:
        """Remove some paths, then add or replace others, in one step."""
        rows = [
            (os.fsencode(path), e.size, e.mtime_ns, e.digest, e.error, e.decoder)
            for path, e in entries.items()
        ]
        with self._guard(), self._connection:
            self._connection.executemany(
                "DELETE FROM pictures WHERE path = ?", [(os.fsencode(path),) for path in remove]
            )
            self._connection.executemany("REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?)", rows)

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with closing(self._connection.execute(query)) as cursor:
            return cursor.fetchall()

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise ArtifactError(
                f"{self.path} cannot be used ({error}): see that the disk is writable and has "
                "room, then run again."
            ) from error
        except sqlite3.DatabaseError as error:
            raise ArtifactError(
                f"{self.path} is damaged ({error}): delete it and synchronize the gallery again."
            ) from error
