"""The files of a feature store: the header, one file a column, and the rows in them.

Rows of features keyed by id, on disk: append-only, memory-mapped, safe to kill.

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

import json
import math
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from visita.artifact import read_sealed, write_sealed
from visita.durable import checksum, sync_folder
from visita.errors import ArtifactError, DamagedError, DataError, MismatchError
from visita.progress import say_once
from visita.store.checkpoint import SUFFIX
from visita.store.journal import Journal, Sums, append_bytes
from visita.types import Skipped

FORMAT = 2
"""Format 1 had no checksums of rows and no seal on its header."""
HEADER = "store.json"
JOURNAL = "journal.jsonl"
Shapes = Mapping[str, int | tuple[int, ...] | np.dtype[Any]]
"""What a row of each column is: d for (d,); of another kind, ``np.dtype((np.uint8, (d,)))``."""


class Column:
    """One file of rows: name, shape (without the first axis) and dtype."""

    def __init__(self, name: str, facts: Mapping[str, Any]) -> None:
        self.name = name
        self.file: str = facts["file"]
        self.shape = tuple(int(side) for side in facts["shape"])
        self.dtype = np.dtype(facts["dtype"])
        self.row_bytes: int = math.prod(self.shape) * self.dtype.itemsize

    def rows_in(self, folder: Path) -> int:
        """Return how many whole rows the file has; none if there is no file."""
        try:
            return (folder / self.file).stat().st_size // self.row_bytes
        except FileNotFoundError:
            return 0

    def map(self, folder: Path, rows: int) -> NDArray[Any]:
        """Return the first rows of the file, which has them, read-only, (rows, …)."""
        if not rows:  # an empty file cannot be mapped
            return np.empty((0, *self.shape), self.dtype)
        return np.memmap(folder / self.file, self.dtype, mode="r", shape=(rows, *self.shape))

    def sums(self, rows: NDArray[Any]) -> NDArray[np.uint64]:
        """Return the XXH3 checksum of each of some rows, uint64 (rows,)."""
        content = np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data
        size = self.row_bytes
        starts = range(0, len(content), size)
        checksums = (xxhash.xxh3_64_intdigest(content[at : at + size]) for at in starts)
        return np.fromiter(checksums, np.uint64, len(starts))


def header_of(columns: Shapes, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header of a new store, as JSON gives it back (lists for tuples)."""
    parts = {name: _column_facts(i, name, shape) for i, (name, shape) in enumerate(columns.items())}
    header = {"format": FORMAT, "data": "data-1", "columns": parts, "facts": dict(facts)}
    as_json: dict[str, Any] = json.loads(json.dumps(header))
    return as_json


def _column_facts(
    number: int, name: str, shape: int | tuple[int, ...] | np.dtype[Any]
) -> dict[str, Any]:
    safe = re.sub(r"[^A-Za-z0-9]+", "-", name)[:60].strip("-")
    if isinstance(shape, np.dtype):
        row, dtype = shape.shape, shape.base.name
    else:
        row = (shape,) if isinstance(shape, int) else shape
        dtype = "float32" if len(row) == 1 else "float16"
    return {"file": f"{number:02d}-{safe}", "shape": row, "dtype": dtype}


def is_store(folder: Path) -> bool:
    """Tell whether there is a store in ``folder``, whole or damaged."""
    return any(path.exists() for path in _headers(folder))


def read_header(folder: Path) -> dict[str, Any]:
    """Return the header of the store in ``folder``, or its copy where it is damaged.

    Raises
    ------
    ArtifactError
        If there is no store or it is of a newer format.
    DamagedError
        If neither the header nor its copy is as it was written.
    """
    if not is_store(folder):
        raise ArtifactError(f"{folder} is not a feature store: it has no {HEADER}.")
    for path in _headers(folder):
        with suppress(DamagedError):
            header = _checked(path)
            if path.parent != folder and (folder / HEADER).exists():
                say_once(f"{folder / HEADER} is damaged: its copy is used")
            return header
    raise DamagedError(f"{folder / HEADER} is damaged, and so is its copy.")


def write_header(folder: Path, header: Mapping[str, Any]) -> None:
    """Write the header of the store in ``folder``; on return it is on disk."""
    write_sealed(folder / HEADER, header)


def header_is_sound(folder: Path) -> bool:
    """Tell whether the header itself, and not only its copy, can be used."""
    try:
        _checked(folder / HEADER)
    except DamagedError:
        return False
    return True


def _headers(folder: Path) -> Iterator[Path]:
    yield folder / HEADER
    # The lowest number first: a higher one may be of a compaction that was killed.
    yield from (data / HEADER for data in sorted(folder.glob("data-*"), key=number_of))


def number_of(data: Path) -> int:
    """Return the number in the name of a folder of data, 0 if it has none."""
    digits = data.name.removeprefix("data-")
    return int(digits) if digits.isdecimal() else 0


def _checked(path: Path) -> dict[str, Any]:
    header = read_sealed(path)
    try:
        version, data = header["format"], header["data"]
        if version > FORMAT:
            raise ArtifactError(f"{path.parent} was written by a newer visita; upgrade to read it.")
        columns = [Column(name, facts) for name, facts in header["columns"].items()]
        dict(header["facts"])
        plain = all(Path(name).name == name for name in (data, *(c.file for c in columns)))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged: it is no header.") from error
    if not plain:
        raise DamagedError(f"{path} is damaged: it names files elsewhere.")
    return header


def check_same(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compare what a store was made with to what is wanted now.

    Raises
    ------
    MismatchError
        If anything differs; the message names each difference with both values.
    """
    old, new = _flat(there), _flat(wanted)
    names = [*old, *(name for name in new if name not in old)]
    differences = [
        f"{name} is {old.get(name, 'absent')} there, {new.get(name, 'absent')} here"
        for name in names
        if old.get(name) != new.get(name)
    ]
    if differences:
        raise MismatchError(
            f"{folder} was made with other settings: {'; '.join(differences)}. "
            "Use the settings it was made with, or choose another folder."
        )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    # {"a": {"b": 1}} becomes {"a.b": "1"}: leaves as JSON, so that 1, 1.0 and "1" differ.
    leaves: dict[str, str] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            leaves |= _flat(inner, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = json.dumps(inner, ensure_ascii=False, sort_keys=True)
    return leaves


def clear_data(folder: Path, header: Mapping[str, Any]) -> None:
    """Take what a crash or damage left of a store out of ``folder``, to make one there.

    Raises
    ------
    ArtifactError
        If it holds anything else.
    """
    ours = {HEADER, JOURNAL, *(facts["file"] for facts in header["columns"].values())}
    for path in folder.iterdir():
        data = number_of(path) > 0 and path.is_dir()
        names = [inner.name for inner in path.iterdir()] if data else [path.name]
        if not all(name in ours or name.startswith(".") or name.endswith(SUFFIX) for name in names):
            raise ArtifactError(f"{folder} holds other files; choose an empty or new folder.")
    for path in folder.iterdir():
        if number_of(path) > 0:
            shutil.rmtree(path)
    (folder / HEADER).unlink(missing_ok=True)


def make_data(folder: Path, header: Mapping[str, Any]) -> None:
    """Make the folder ``data-…`` with empty columns, an empty journal and a copy of the header."""
    folder.mkdir()
    for facts in header["columns"].values():
        (folder / facts["file"]).touch()
    (folder / JOURNAL).touch()
    write_header(folder, header)
    sync_folder(folder)


def readable_header(folder: Path) -> dict[str, Any] | None:
    """Return the header of a store, or its copy; None if there is none that can be read."""
    try:
        return read_header(folder) if is_store(folder) else None
    except DamagedError as error:
        say_once(f"{error} It is made anew.")
        return None


def shapes_of(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return the shapes of a header's columns, as ``check_same`` compares them."""
    return {f"column {name}": facts["shape"] for name, facts in header["columns"].items()}


_BLOCK = 4096
_FLUSHES = 16


class Rows:
    """What a folder ``data-…`` holds.

    Attributes
    ----------
    folder : Path
    columns : dict of Column
    journal : Journal
    maps : dict of (n, …) arrays
        Every column, read-only.
    lost : list of str
        Ids whose rows are in the journal but not in every file; they count as not there.

    Raises
    ------
    OSError
        If a file cannot be read.
    """

    def __init__(self, folder: Path, columns: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        self.columns = {name: Column(name, facts) for name, facts in columns.items()}
        self.journal = Journal(folder / JOURNAL)
        self.lost = self._forget_lost()
        self._map()

    def _forget_lost(self) -> list[str]:
        there = min(column.rows_in(self.folder) for column in self.columns.values())
        if there >= self.journal.count:
            return []
        # Whole batches, as rows of one batch may be parts of one thing.
        cut = max(start for start in (0, *self.journal.starts) if start <= there)
        lost = [key for key, row in self.journal.rows.items() if row >= cut]
        for key in lost:
            del self.journal.rows[key]
        return lost

    def _map(self) -> None:
        # Mapped at once: a map outlives its file when a writer compacts the store.
        count = self.journal.count
        self.maps = {
            name: column.map(self.folder, min(count, column.rows_in(self.folder)))
            for name, column in self.columns.items()
        }

    @property
    def is_sound(self) -> bool:
        """Tell whether the journal and the files are as long as they were written."""
        return not self.lost and not self.journal.damaged

    def rows(self, ids: Iterable[str]) -> list[int]:
        """Return the row of each id.

        Raises
        ------
        DataError
            If there is no such id.
        """
        try:
            return [self.journal.rows[key] for key in ids]
        except KeyError as error:
            raise DataError(f"{self.folder.parent} has no row for {error}.") from None

    def checked(self, ids: Sequence[str], arrays: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return the arrays of a batch in the order and dtype of the columns.

        Raises
        ------
        DataError
            If an id is there already, or an array is missing or of another shape.
        """
        twice = [key for key in ids if key in self.journal.rows]
        if not twice and len(set(ids)) < len(ids):
            twice = [key for i, key in enumerate(ids) if key in ids[:i]]
        if twice:
            raise DataError(
                f"{self.folder.parent} would hold {twice[0]!r} twice; leave out what it has."
            )
        return [_suitable(column, arrays, len(ids)) for column in self.columns.values()]

    def append(
        self, ids: Sequence[str], arrays: Sequence[NDArray[Any]], skipped: Sequence[Skipped]
    ) -> None:
        """Add a batch that was ``checked``; on return it is on disk.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        paths = [self.folder / column.file for column in self.columns.values()]
        # Threads, because disks flush several files together as fast as one.
        with ThreadPoolExecutor(_FLUSHES) as pool:
            list(pool.map(append_bytes, paths, (array.tobytes() for array in arrays)))
        self.journal.append(ids, self._sums(arrays), skipped)
        self._map()

    def damaged(self, ids: Iterable[str], columns: Iterable[str]) -> list[str]:
        """Return which of some ids have a row in some columns that is not as it was written."""
        asked = list(ids)
        altered = self.altered(np.array(self.rows(asked), np.int64), columns)
        return [asked[at] for at in np.flatnonzero(altered)]

    def altered(self, rows: NDArray[np.int64], columns: Iterable[str]) -> NDArray[np.bool_]:
        """Tell of some rows (n,) whether they are not as they were written in some columns."""
        sums, known = self.journal.sums(len(self.columns))
        bad = np.zeros(len(rows), np.bool_)
        places = {name: place for place, name in enumerate(self.columns)}
        for name in columns:
            for block in blocks(len(rows)):
                actual = self.columns[name].sums(self.maps[name][rows[block]])
                bad[block] |= actual != sums[rows[block], places[name]]
        return bad & known[rows]

    def checksum(self, name: str, count: int) -> str:
        """Return the checksum of the checksums of the first rows of a column."""
        sums, _ = self.journal.sums(len(self.columns))
        own = sums[:count, list(self.columns).index(name)]
        return checksum(b"%d " % len(own) + own.tobytes())

    def mend(self) -> None:
        """Bring all files to what the journal says, and give checksums to rows without."""
        self.journal.mend()
        if self.lost:
            self.journal.drop(self.lost)
        for column in self.columns.values():
            with (self.folder / column.file).open("ab") as file:
                file.truncate(self.journal.count * column.row_bytes)
        self.lost = []
        self._map()
        self._seal()

    def _seal(self) -> None:
        _, known = self.journal.sums(len(self.columns))
        edges = np.flatnonzero(np.diff(known, prepend=True, append=True))
        for first, end in edges.reshape(-1, 2).tolist():
            for block in blocks(end - first):
                rows = slice(first + block.start, first + block.stop)
                self.journal.seal(rows.start, self._sums([m[rows] for m in self.maps.values()]))

    def _sums(self, arrays: Sequence[NDArray[Any]]) -> Sums:
        columns = self.columns.values()
        return np.stack([c.sums(a) for c, a in zip(columns, arrays, strict=True)], axis=1)


def blocks(count: int) -> Iterator[slice]:
    """Yield slices that go through ``count`` rows, a few thousand at a time."""
    for start in range(0, count, _BLOCK):
        yield slice(start, min(start + _BLOCK, count))


def _suitable(column: Column, arrays: Mapping[str, NDArray[Any]], count: int) -> NDArray[Any]:
    if count and column.name not in arrays:
        raise DataError(f"The batch lacks the column {column.name!r}.")
    shape = (count, *column.shape)
    array = np.asarray(arrays.get(column.name, np.empty(shape)), column.dtype)
    if array.shape != shape:
        raise DataError(f"Column {column.name!r} has shape {array.shape}, not {shape}.")
    return array
