"""Rows of features keyed by id, on disk: append-only, memory-mapped, safe to kill.

::

    folder/
      store.json           columns and facts: what the numbers are and what made them
      data-1/              the number grows when the store is compacted
        00-lite2-head-avg  one file a column: its rows, one after the other
        journal.jsonl      which rows are whole, and their ids

A batch counts once its line is in the journal, written after its columns are on disk.
What a crash leaves beyond that is never read, and the next writer cuts it off.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
from filelock import FileLock, Timeout
from numpy.typing import NDArray

from visita.artifact import write_json
from visita.durable import sync_folder
from visita.errors import ArtifactError, DataError
from visita.features.journal import Journal, append_bytes
from visita.features.layout import (
    HEADER,
    JOURNAL,
    Column,
    Shapes,
    check_same,
    header_of,
    make_data,
    read_header,
)
from visita.progress import say
from visita.types import Skipped

_BLOCK = 4096
_FLUSHES = 16


class FeatureStore:
    """Named columns with one row an id; made by ``create``, ``open`` or ``open_or_create``.

    Pooled columns, (d,) a row, are float32; grids, (cells, d) a row, are float16. A reader
    sees what was committed when it opened the store, whatever a writer does meanwhile.
    A writer holds a lock until ``close``; use it in a ``with`` block.

    Attributes
    ----------
    folder : Path
        Where it is.
    facts : mapping
        What the numbers were made with.
    columns : dict
        Shape of a row of each column.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any], lock: FileLock | None) -> None:
        self.folder = folder
        self.facts: Mapping[str, Any] = header["facts"]
        self._lock = lock
        self._attach(header)

    def _attach(self, header: Mapping[str, Any]) -> None:
        self._header = header
        self._data = self.folder / header["data"]
        self._columns = {name: Column(name, facts) for name, facts in header["columns"].items()}
        self.columns = {name: column.shape for name, column in self._columns.items()}
        self._journal = Journal(self._data / JOURNAL)
        self._map_columns()

    def _map_columns(self) -> None:
        # Mapped at once: a map outlives its file when a writer compacts the store.
        self._maps = {name: c.map(self._data, len(self)) for name, c in self._columns.items()}

    @classmethod
    def create(cls, folder: Path, columns: Shapes, facts: Mapping[str, Any]) -> Self:
        """Make an empty store and open it for writing.

        ``columns`` gives the shape of a row, where d means (d,); ``facts`` are JSON values.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something already or cannot be written.
        """
        header = header_of(columns, facts)
        with _writing(folder):
            if folder.exists() and any(folder.iterdir()):
                raise ArtifactError(f"{folder} holds other files; choose an empty or new folder.")
            folder.parent.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
            try:
                make_data(draft / header["data"], header)
                write_json(draft / HEADER, header)
                sync_folder(draft)
                draft.chmod(0o755)
                draft.replace(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
            sync_folder(folder.parent)
        return cls.open(folder, write=True)

    @classmethod
    def open(
        cls,
        folder: Path,
        facts: Mapping[str, Any] | None = None,
        *,
        write: bool = False,
        wait: bool = False,
    ) -> Self:
        """Open a store for reading, or for writing too; ``wait`` until no other process writes.

        Raises
        ------
        MismatchError
            If ``facts`` are given and differ from the store's; the message names what differs.
        ArtifactError
            If there is no whole store, or another process is writing to it, unless waited for.
        """
        there = read_header(folder)
        if facts is not None:
            check_same(folder, there["facts"], facts)
        if not write:
            return cls._open(folder, None)
        lock = _locked(folder, wait)
        try:
            store = cls._open(folder, lock)
            with _writing(folder):
                store._drop_uncommitted()
        except BaseException:
            lock.release()
            raise
        return store

    @classmethod
    def _open(cls, folder: Path, lock: FileLock | None) -> Self:
        header = read_header(folder)
        try:
            return cls(folder, header, lock)
        except FileNotFoundError as error:
            if read_header(folder) != header:  # compacted between the two reads
                return cls._open(folder, lock)
            raise ArtifactError(
                f"{error.filename} is missing: delete {folder} and run again to make it anew."
            ) from error

    @classmethod
    def open_or_create(
        cls,
        folder: Path,
        columns: Shapes,
        facts: Mapping[str, Any],
        needed: Collection[str] | None = None,
    ) -> Self:
        """Open a store for writing, or make it if there is none.

        One that holds all ids ``needed`` is only read, so it may have another writer; for what
        it lacks another writer is waited for, who may well be adding the same.

        Raises
        ------
        MismatchError
            If the store has other columns or facts; the message names what differs.
        ArtifactError
            As for ``create`` and ``open``.
        """
        if not (folder / HEADER).exists():
            return cls.create(folder, columns, facts)
        there, wanted = read_header(folder), header_of(columns, facts)
        check_same(folder, _shapes(there), _shapes(wanted))
        if needed is not None:
            whole = cls.open(folder, facts)
            if all(one in whole for one in needed):
                return whole
        return cls.open(folder, facts, write=True, wait=needed is not None)

    def __len__(self) -> int:
        return len(self._journal.rows)

    def __contains__(self, one: object) -> bool:
        return one in self._journal.rows

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
        return list(self._journal.rows)

    @property
    def skipped(self) -> Mapping[str, str]:
        """Reason of each item that failed and has not succeeded since."""
        return self._journal.skipped

    @property
    def nbytes(self) -> int:
        """Bytes of all rows of all columns."""
        return len(self) * sum(column.row_bytes for column in self._columns.values())

    def row(self, one: str) -> int:
        """Return the row of an id.

        Raises
        ------
        DataError
            If the store has no such id.
        """
        try:
            return self._journal.rows[one]
        except KeyError:
            raise DataError(f"{self.folder} has no row for {one!r}.") from None

    def column(self, name: str) -> NDArray[Any]:
        """Return a column, (n, …), as a read-only memory map.

        Raises
        ------
        DataError
            If the store has no such column; the message lists those it has.
        """
        if name not in self._maps:
            raise DataError(f"{self.folder} has no column {name!r}, only {', '.join(self._maps)}.")
        return self._maps[name]

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
            If the store is not open for writing, or the disk refuses; earlier batches stay
            whole, and the store is closed.
        """
        if not self._lock:
            raise ArtifactError(f"{self.folder} is not open for writing: open it with write=True.")
        self._check_ids(ids)
        paths = [self._data / column.file for column in self._columns.values()]
        rows = [_rows(column, arrays, len(ids)) for column in self._columns.values()]
        try:
            # Threads, because disks flush several files together as fast as one.
            with _writing(self.folder), ThreadPoolExecutor(_FLUSHES) as pool:
                list(pool.map(append_bytes, paths, rows))
                self._journal.append(ids, skipped)
        except BaseException:
            self.close()  # a half-written batch stays behind, for the next writer to cut off
            raise
        self._map_columns()

    def _check_ids(self, ids: Sequence[str]) -> None:
        twice = [one for one in ids if one in self._journal.rows]
        if not twice and len(set(ids)) < len(ids):
            twice = [one for i, one in enumerate(ids) if one in ids[:i]]
        if twice:
            raise DataError(f"{self.folder} would hold {twice[0]!r} twice; leave out what it has.")

    def compact(self, keep: Container[str]) -> None:
        """Drop all rows and skipped items but those in ``keep``; the disk gets the room back.

        The rest is copied to a new ``data-…``, which replaces the old one in one step.

        Raises
        ------
        ArtifactError
            As for ``append``; nothing is dropped then.
        """
        number = int(self._data.name.removeprefix("data-")) + 1
        header = {**self._header, "data": f"data-{number}"}
        with _writing(self.folder):
            make_data(self.folder / header["data"], header)
        ids = [one for one in self.ids if one in keep]
        skipped = [Skipped(*pair) for pair in self.skipped.items() if pair[0] in keep]
        lock, self._lock = self._lock, None
        fresh = type(self)(self.folder, header, lock)
        try:
            for start in range(0, len(ids), _BLOCK):
                block = ids[start : start + _BLOCK]
                rows = [self.row(one) for one in block]
                fresh.append(block, {name: column[rows] for name, column in self._maps.items()})
            fresh.append([], {}, skipped)
            with _writing(self.folder):
                write_json(self.folder / HEADER, header)
                sync_folder(self.folder)
        except BaseException:
            fresh.close()
            raise
        self._lock = lock
        self._attach(header)
        self._drop_uncommitted()

    def _drop_uncommitted(self) -> None:
        for column in self._columns.values():
            os.truncate(self._data / column.file, len(self) * column.row_bytes)
        self._journal.drop_torn_line()
        for other in self.folder.glob("data-*"):
            if other != self._data:
                shutil.rmtree(other, ignore_errors=True)


def _shapes(header: Mapping[str, Any]) -> dict[str, Any]:
    return {f"column {name}": facts["shape"] for name, facts in header["columns"].items()}


def _rows(column: Column, arrays: Mapping[str, NDArray[Any]], count: int) -> bytes:
    if count and column.name not in arrays:
        raise DataError(f"The batch lacks the column {column.name!r}.")
    shape = (count, *column.shape)
    array = np.asarray(arrays.get(column.name, np.empty(shape)), column.dtype)
    if array.shape != shape:
        raise DataError(f"Column {column.name!r} has shape {array.shape}, not {shape}.")
    return array.tobytes()


def _locked(folder: Path, wait: bool) -> FileLock:
    lock = FileLock(folder / ".lock", thread_local=False)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        if not wait:
            raise ArtifactError(
                f"Another process is writing to {folder}: wait until it is done, then run again."
            ) from error
        say(f"another process is writing to {folder}: waiting until it is done")
        lock.acquire()
    except OSError as error:
        raise _refused(folder, error) from error
    return lock


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: Path, error: OSError) -> ArtifactError:
    return ArtifactError(
        f"{folder} cannot be written ({error.strerror or error}). What it held is safe: make "
        "room or choose another folder, then run again."
    )
