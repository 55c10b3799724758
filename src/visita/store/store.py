"""Rows of features keyed by id, on disk: append-only, memory-mapped, safe to kill.

::

    folder/
      store.json           columns and facts: what the numbers are and what made them
      data-1/              the number grows when the store is compacted
        00-lite2-head-avg  one file a column: its rows, one after the other
        journal.jsonl      which rows are whole, their ids and their checksums
        journal-<…>.checkpoint  the same as arrays, of many rows
        store.json         a copy

A batch counts once its line is in the journal, written after its columns are on disk.
What a crash leaves beyond that is never read, and the next writer cuts it off. Rows that
damage took are as if they had never been added: whoever needs them makes them again.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from visita.brief import counted
from visita.durable import make_folder, sync_folder
from visita.errors import ArtifactError, DamagedError, DataError
from visita.progress import say_once
from visita.store.layout import (
    FORMAT,
    JOURNAL,
    Rows,
    Shapes,
    blocks,
    check_same,
    clear_data,
    header_is_sound,
    header_of,
    is_store,
    make_data,
    number_of,
    read_header,
    readable_header,
    shapes_of,
    write_header,
)
from visita.store.lock import WriterLock, unwritable
from visita.store.texts import Texts
from visita.types import Skipped


class FeatureStore:
    """Named columns with one row an id; made by ``create``, ``open`` or ``open_or_create``.

    Pooled columns, (d,) a row, are float32; grids, (cells, d) a row, are float16. A reader
    sees what was committed when it opened the store, whatever a writer does meanwhile, and
    needs no right to write. A writer holds a lock until ``close``; use it in a ``with`` block.

    Attributes
    ----------
    folder : Path
        Where it is.
    facts : mapping
        What the numbers were made with.
    columns : dict
        Shape of a row of each column.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], lock: WriterLock | None) -> None:
        self.folder = folder
        self.facts: Mapping[str, Any] = header["facts"]
        self._lock = lock
        self._attach(header)

    def _attach(self, header: Mapping[str, Any]) -> None:
        self._header = header
        self._rows = Rows(self.folder / header["data"], header["columns"])
        self.columns = {name: column.shape for name, column in self._rows.columns.items()}

    @classmethod
    def create(cls, folder: Path, columns: Shapes, facts: Mapping[str, Any]) -> Self:
        """Make an empty store and open it for writing.

        ``columns`` gives the shape of a row, where d means (d,); ``facts`` are JSON values.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something already.
        UnwritableError
            If it cannot be written.
        """
        store = None if is_store(folder) else cls._make(folder, columns, facts)
        if store is None:
            raise ArtifactError(f"{folder} holds other files; choose an empty or new folder.")
        return store

    @classmethod
    def _make(cls, folder: Path, columns: Shapes, facts: Mapping[str, Any]) -> Self | None:
        """Make an empty store, in place of one that cannot be read; None if there is one."""
        header = header_of(columns, facts)
        with _writing(folder):
            make_folder(folder)
        lock = WriterLock(folder)
        lock.acquire()
        try:
            if readable_header(folder):  # another process made it meanwhile
                lock.release()
                return None
            with _writing(folder):
                clear_data(folder, header)
                make_data(folder / header["data"], header)
                write_header(folder, header)
            return cls(folder, header, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(
        cls, folder: Path, facts: Mapping[str, Any] | None = None, *, write: bool = False
    ) -> Self:
        """Open a store for reading, or for writing too, once no other process writes.

        Raises
        ------
        MismatchError
            If ``facts`` are given and differ from the store's; the message names what differs.
        ArtifactError
            If there is no store, or this process has it open for writing already.
        DamagedError
            If too little of it can be read to tell what it held.
        UnwritableError
            If it cannot be written.
        """
        if not write:
            return cls._open(folder, None, facts)
        if not is_store(folder):
            read_header(folder)  # which says what there is instead
        lock = WriterLock(folder)
        lock.acquire()
        try:
            store = cls._open(folder, lock, facts)
            with _writing(folder, lock):
                store._mend()
        except BaseException:
            lock.release()
            raise
        return store

    @classmethod
    def _open(cls, folder: Path, lock: WriterLock | None, facts: Mapping[str, Any] | None) -> Self:
        header = read_header(folder)
        if facts is not None:
            check_same(folder, header["facts"], facts)
        missing = None
        try:
            store = cls(folder, header, lock)
            if store._rows.is_sound:
                return store
        except FileNotFoundError as error:
            missing = error.filename
        if read_header(folder) != header:  # compacted between the two reads
            return cls._open(folder, lock, facts)
        if missing and not lock:
            raise DamagedError(f"{missing} is missing.")
        if missing:
            with _writing(folder, lock):
                (folder / header["data"]).mkdir(exist_ok=True)
                (folder / header["data"] / JOURNAL).touch()
            return cls._open(folder, lock, facts)
        say_once(f"{folder} is damaged: what is lost of it is made again")
        return store

    @classmethod
    def open_or_create(
        cls,
        folder: Path,
        columns: Shapes,
        facts: Mapping[str, Any],
        is_enough: Callable[[Self], bool] = lambda _: False,
    ) -> Self:
        """Open a store for writing, or make it if there is none or none that can be read.

        One that ``is_enough`` is only read, so it may have another writer, and needs no right
        to write.

        Raises
        ------
        MismatchError
            If the store has other columns or facts; the message names what differs.
        ArtifactError
            As for ``create`` and ``open``.
        """
        there = readable_header(folder)
        if there is None:
            store = cls._make(folder, columns, facts)
            if store is not None:
                return store
            there = read_header(folder)
        wanted = header_of(columns, facts)
        check_same(folder, shapes_of(there), shapes_of(wanted))
        with suppress(DamagedError):
            existing = cls.open(folder, facts)
            if is_enough(existing):
                return existing
        return cls.open(folder, facts, write=True)

    def __len__(self) -> int:
        return len(self._rows.journal.rows)

    def __iter__(self) -> Iterator[str]:
        """Yield the ids in the order of their rows."""
        return iter(self.ids)

    def __repr__(self) -> str:
        """Return where it is, and how many rows and columns it has."""
        counts = f"{counted(len(self), 'row')}, {counted(len(self.columns), 'column')}"
        return f"<FeatureStore {self.folder}: {counts}>"

    def __contains__(self, key: object) -> bool:
        return key in self._rows.journal.rows

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let another process write. What was read stays readable."""
        if self._lock:
            self._lock.release()
            self._lock = None

    @property
    def ids(self) -> list[str]:
        """All ids in the order of their rows."""
        return list(self._rows.journal.rows)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Reason of each item that failed and has not succeeded since."""
        return self._rows.journal.skipped

    @property
    def is_sound(self) -> bool:
        """Tell whether header and journal are as they were written, and columns as long."""
        headers = [self.folder, self._rows.folder] if self._header["format"] == FORMAT else []
        return self._rows.is_sound and all(map(header_is_sound, headers))

    @property
    def nbytes(self) -> int:
        """Bytes of all rows of all columns."""
        return len(self) * sum(column.row_bytes for column in self._rows.columns.values())

    def rows(self, ids: Iterable[str]) -> list[int]:
        """Return the row of each id; raises ``DataError`` if there is none."""
        return self._rows.rows(ids)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, (n, …), as a read-only memory map; ``damaged`` checks it.

        Raises
        ------
        DataError
            If the store has no such column; the message lists those it has.
        """
        maps = self._rows.maps
        if name not in maps:
            raise DataError(f"{self.folder} has no column {name!r}, only {', '.join(maps)}.")
        return maps[name]

    def checksum(self, name: str, count: int) -> str:
        """Return what changes when one of the first rows of a column is another, 16 hex digits."""
        return self._rows.checksum(name, count)

    def damaged(
        self, ids: Iterable[str] | None = None, columns: Iterable[str] | None = None
    ) -> list[str]:
        """Return which ids, of some or of all, have a row that is not as it was written.

        ``columns`` are those looked at, all by default.
        """
        asked = self.ids if ids is None else ids
        return self._rows.damaged(asked, self.columns if columns is None else columns)

    def intact(self, columns: Iterable[str] | None = None) -> dict[str, int]:
        """Return the row of each id that is as it was written, in the order of the rows.

        ``columns`` are those looked at, all by default.
        """
        damaged = set(self.damaged(columns=columns))
        return {key: row for key, row in self._rows.journal.rows.items() if key not in damaged}

    def table(self) -> tuple[Texts, NDArray[np.int64]]:
        """Return all ids and their rows, (n,)."""
        return self._rows.journal.table()

    def altered(self, rows: NDArray[np.int64], columns: Iterable[str]) -> NDArray[np.bool_]:
        """Tell of some rows (n,) whether they are not as they were written in some columns."""
        return self._rows.altered(rows, columns)

    @property
    def is_quick(self) -> bool:
        """Whether it is opened as quickly as it can be; see ``checkpoint``."""
        return self._rows.journal.is_quick

    def checkpoint(self) -> None:
        """Let a store of many rows be opened quickly, until it is added to.

        Raises
        ------
        ArtifactError
            As for ``append``.
        """
        with _writing(self.folder, self._writer()):
            self._rows.journal.keep(len(self.columns))

    def append(
        self,
        ids: Sequence[str],
        arrays: Mapping[str, NDArray[Any]],
        skipped: Sequence[Skipped] = (),
    ) -> None:
        """Add one batch; on return it is on disk, and a crash before leaves it out whole.

        ``arrays`` holds (len(ids), …) for every column; ``skipped``, what failed and why.

        Raises
        ------
        DataError
            If an id is there already, or an array is missing or of another shape.
        ArtifactError
            If the store is not open for writing, or was removed.
        UnwritableError
            If the disk refuses; earlier batches stay whole, and the store is closed.
        """
        lock = self._writer()
        rows = self._rows.checked(ids, arrays)
        try:
            with _writing(self.folder, lock):
                self._rows.append(ids, rows, skipped)
        except BaseException:
            self.close()  # a half-written batch stays behind, for the next writer to cut off
            raise

    def _writer(self) -> WriterLock:
        if not self._lock:
            raise ArtifactError(f"{self.folder} is not open for writing: open it with write=True.")
        self._lock.check()
        return self._lock

    def drop(self, ids: Sequence[str]) -> None:
        """Take out some ids, whose rows are damaged; they may be added again.

        Raises
        ------
        ArtifactError
            As for ``append``.
        """
        if ids:
            lock = self._writer()
            with _writing(self.folder, lock):
                self._rows.journal.drop(ids)

    def compact(self, keep: Container[str]) -> None:
        """Drop all rows and skipped items but those in ``keep``; the disk gets the room back.

        The rest is copied to a new ``data-…``, which replaces the old one in one step. Damaged
        rows are dropped too.

        Raises
        ------
        ArtifactError
            As for ``append``; nothing is dropped then.
        """
        lock = self._writer()
        damaged = set(self.damaged())
        ids = [key for key in self.ids if key in keep and key not in damaged]
        skipped = [Skipped(*pair) for pair in self.skipped.items() if pair[0] in keep]
        header = {**self._header, "data": f"data-{number_of(self._rows.folder) + 1}"}
        with _writing(self.folder, lock):
            make_data(self.folder / header["data"], header)
        self._lock, maps = None, self._rows.maps
        fresh = type(self)(self.folder, header, lock)
        try:
            for block in blocks(len(ids)):
                rows = self.rows(ids[block])
                fresh.append(ids[block], {name: column[rows] for name, column in maps.items()})
            fresh.append([], {}, skipped)
            with _writing(self.folder, lock):
                write_header(self.folder, header)
                sync_folder(self.folder)
        except BaseException:
            fresh.close()
            raise
        self._lock = lock
        self._attach(header)
        self._drop_old_data()

    def _mend(self) -> None:
        """Bring all files to what the journal says, and to the format of today."""
        outdated = self._header["format"] < FORMAT
        self._header = {**self._header, "format": FORMAT}
        for place in (self.folder, self._rows.folder):
            if outdated or not header_is_sound(place):
                write_header(place, self._header)
        self._rows.mend()
        self._drop_old_data()

    def _drop_old_data(self) -> None:
        for data_folder in self.folder.glob("data-*"):
            if data_folder != self._rows.folder:
                shutil.rmtree(data_folder, ignore_errors=True)


@contextmanager
def _writing(folder: Path, lock: WriterLock | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if lock:
            lock.check()  # a folder that was removed cannot be written either
        raise unwritable(folder, error) from error
