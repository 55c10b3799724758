"""The rows of a feature store: one folder of columns, memory-mapped, and their journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.store.journal import Journal, Sums, append_bytes
from visita.store.layout import JOURNAL, Column
from visita.types import Skipped

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
        lost = [one for one, row in self.journal.rows.items() if row >= cut]
        for one in lost:
            del self.journal.rows[one]
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
        twice = [one for one in ids if one in self.journal.rows]
        if not twice and len(set(ids)) < len(ids):
            twice = [one for i, one in enumerate(ids) if one in ids[:i]]
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
        rows = np.array(self.rows(asked), np.int64)
        sums, known = self.journal.sums(len(self.columns))
        bad = np.zeros(len(rows), np.bool_)
        places = {name: place for place, name in enumerate(self.columns)}
        for name in columns:
            for some in blocks(len(rows)):
                found = self.columns[name].sums(self.maps[name][rows[some]])
                bad[some] |= found != sums[rows[some], places[name]]
        return [asked[at] for at in np.flatnonzero(bad & known[rows])]

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
            for some in blocks(end - first):
                rows = slice(first + some.start, first + some.stop)
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
