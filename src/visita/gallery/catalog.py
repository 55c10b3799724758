"""Which files a gallery has seen, by path: what they looked like and what they held.

A file of sealed lines: each adds or replaces some entries and takes out others, and is on disk
before the next is written. An entry whose line is damaged is as if its file had never been
seen: it is looked at again. Paths are relative to the gallery's folder.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np

from visita.errors import ArtifactError, DamagedError
from visita.gallery.entries import Entries, Entry, Shown
from visita.progress import say_once
from visita.store.checkpoint import LONG, has_checkpoint, read_checkpoint, write_checkpoint
from visita.store.journal import append_line, read_lines, write_lines
from visita.store.lock import WriterLock

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


INDEX = "index.jsonl"
_ROOM = 1000
"""Entries that may be out of date in the file before it is written anew."""


class Catalog:
    """The files that the gallery in ``place`` has seen.

    Attributes
    ----------
    is_sound : bool
        Whether the file is there, of today's format, and as it was written.
    is_whole : bool
        Whether it was when it was read, or had all in the older format.
    entries : Entries
        All that is known, by path.
    updated : set of str
        The paths that ``update`` was given.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._path = place / INDEX
        self._written = 0
        self._torn = False
        self.updated: set[str] = set()
        kept = read_checkpoint(self._path)
        self.entries = Entries(kept)
        if kept:
            self._written = int(kept["written"][0])
            self.is_sound = self.is_whole = True
            return
        try:
            self.is_sound = self.is_whole = self._read()
        except (FileNotFoundError, NotADirectoryError):
            self.entries.update((path, Entry(*facts)) for path, facts in _before(place).items())
            self.is_sound, self.is_whole = False, bool(self.entries)
        except OSError as error:
            raise ArtifactError(f"{self._path} cannot be read: {error.strerror}.") from error

    def _read(self) -> bool:
        lines = read_lines(self._path)
        for line in lines.whole:
            self._take_in(line)
        self._torn = bool(lines.torn)
        if lines.damaged:
            say_once(f"{self._path} is damaged: what is lost of it is looked at again")
        return not lines.damaged

    def shown(self) -> Shown:
        """Return the pictures that are there."""
        return self.entries.shown()

    def there(self) -> dict[str, Entry]:
        """Return the entries of the pictures that are there, by path."""
        return {path: entry for path, entry in self.entries.items() if entry.is_there}

    def __bool__(self) -> bool:
        """Tell whether any file is known."""
        return bool(self.entries)

    def update(self, entries: Mapping[str, Entry], remove: Iterable[str], lock: WriterLock) -> None:
        """Remove some paths, then add or replace others, in one step that is then on disk.

        Raises
        ------
        ArtifactError
            If the gallery was removed meanwhile.
        UnwritableError
            If the disk refuses.
        """
        removed = list(remove)
        line = {"files": [[p, *e] for p, e in entries.items()], "removed": removed}
        with lock.writing():
            append_line(self._path, line)
        self._take_in(line)
        self.updated.update(entries, removed)

    def mend(self) -> None:
        """Write anew what is damaged, half out of date or of an older format.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        if self._torn or not self.is_sound or self._is_outgrown():
            files = [[path, *entry] for path, entry in sorted(self.entries.items())]
            starts = range(0, len(files), _ROOM)
            write_lines(
                self._path, ({"files": files[at : at + _ROOM], "removed": []} for at in starts)
            )
            self._written, self._torn, self.is_sound = len(files), False, True
        remove_index(self._place)

    @property
    def is_quick(self) -> bool:
        """Whether it is opened as quickly as it can be."""
        return len(self.entries) < LONG or has_checkpoint(self._path)

    def checkpoint(self) -> None:
        """Let a long catalogue that is sound be opened quickly, until it is added to.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        if self.is_sound and not self.is_quick:
            with suppress(OverflowError):  # then its lines are read each time
                written = {"written": np.array([self._written])}
                write_checkpoint(self._path, self.entries.to_arrays() | written)

    def _is_outgrown(self) -> bool:
        return self._written > 2 * len(self.entries) + _ROOM

    def _take_in(self, line: Mapping[str, Any]) -> None:
        for path in line["removed"]:
            self.entries.pop(path, None)
        for path, *facts in line["files"]:
            self.entries[path] = Entry(*facts)
        self._written += len(line["files"]) + len(line["removed"])


def _before(place: Path) -> Mapping[str, Any]:
    try:
        return read_index(place)
    except DamagedError as error:
        say_once(f"{error} All files are looked at again.")
        return {}
