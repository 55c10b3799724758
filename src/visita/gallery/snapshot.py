"""What readers of a gallery use: paths and vectors of one moment, which no sync alters."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from visita.brief import counted
from visita.data.locations import location
from visita.errors import DamagedError, DataError
from visita.gallery.columns import PARTS, VECTOR, Taken
from visita.gallery.engines import Index, chosen_engine
from visita.gallery.entries import Shown
from visita.gallery.inverted_files import Kept
from visita.gallery.inverted_index import InvertedIndex
from visita.progress import say_once
from visita.store.store import FeatureStore
from visita.store.texts import Texts, find
from visita.types import FloatArray
from visita.vectors import unit


@dataclass(frozen=True, eq=False)
class Vectors:
    """The vectors of one matcher as a reader finds them.

    Attributes
    ----------
    store : FeatureStore
    damaged : bool (m,)
        Of each id of ``store.table``, whether its row is; with an inverted file, that is asked of
        what is found.
    kept : Kept or None
        The inverted file.
    """

    store: FeatureStore
    damaged: NDArray[np.bool_]
    kept: Kept | None = None

    @cached_property
    def rows(self) -> dict[str, int]:
        """The row of each digest whose vector is not damaged."""
        ids, rows = self.store.table()
        sound = zip(ids, rows.tolist(), self.damaged.tolist(), strict=True)
        return {digest: row for digest, row, damaged in sound if not damaged}


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """The pictures of a gallery that one matcher has a vector for, in the order of their paths.

    Attributes
    ----------
    paths : sequence of str (n)
        Absolute; strings, as a million of them are quick to read and to sort. Iterating gives
        ``Path``.
    taken : Taken
        Their vectors, float32 (n, d), at most 1 long.
    digests : sequence of str (n)
        Hex SHA-256 of each file's content.
    store : FeatureStore or None
        Where the vectors are and, where the matcher has a second stage, packed parts beside them.
    kept : Kept or None
        The inverted file of the vectors in the store, where there is one.
    dates : sequence of str or None (n)
        When each was taken, as in ``Metadata``; empty where that was not asked for.
    """

    paths: Sequence[str]
    taken: Taken
    digests: Sequence[str]
    store: FeatureStore | None = None
    kept: Kept | None = None
    dates: Sequence[str | None] = ()

    @classmethod
    def of(cls, root: str, shown: Shown, vectors: Vectors) -> Self:
        """Return the pictures of a folder that there are vectors of.

        Parameters
        ----------
        root
            What paths are added to.
        """
        store = vectors.store
        ids, rows = store.table()
        places = find(shown.digests, ids)
        stored = places >= 0
        damaged = stored & vectors.damaged[places] if len(ids) else stored
        if damaged.any():
            lost = counted(len(np.unique(places[damaged])), "picture")
            say_once(f"{store.folder} is damaged: {lost} left out")
        paths, digests = shown.only(stored & ~damaged)
        taken = Taken(store.column(VECTOR), rows[places[stored & ~damaged]])
        return cls(paths.beginning(root), taken, digests, store, vectors.kept)

    def only(self, rows: Sequence[int], dates: Sequence[str | None]) -> Self:
        """Return some of the pictures, by ascending rows, with the dates of these."""
        if len(rows) == len(self):
            return replace(self, dates=dates)
        paths, digests = (_some(column, rows) for column in (self.paths, self.digests))
        taken = self.taken.only(np.asarray(rows, np.int64))
        return replace(self, paths=paths, taken=taken, digests=digests, dates=dates)

    @cached_property
    def vectors(self) -> FloatArray:
        """All vectors in memory, float32 (n, d), read-only.

        Raises
        ------
        DamagedError
            If one is not as it was written.
        """
        if self.kept is not None:  # else they were looked at
            self._check_vectors(np.arange(len(self)))
        vectors = self.taken[:]
        vectors.flags.writeable = False
        return vectors

    def row_of(self, path: str) -> int | None:
        """Return the row of a picture, or None if it is not among them."""
        row = bisect_left(self.paths, path)
        return row if row < len(self) and self.paths[row] == path else None

    def vector(self, row: int) -> FloatArray:
        """Return the vector of one picture, float32 (d,); raises as ``vectors``."""
        self._check_vectors(np.array([row]))
        return np.asarray(self.taken[row])

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Path]:
        """Yield the pictures' files."""
        return map(location, self.paths)

    def __repr__(self) -> str:
        """Return how many pictures there are, and how many numbers a vector has."""
        return (
            f"<Snapshot: {counted(len(self), 'picture')}, vectors of {self.taken.column.shape[1]}>"
        )

    @cached_property
    def index(self) -> Index:
        """The engine that searches the vectors, made on first use."""
        if self.kept is not None:
            return self._inverted(self.kept)
        return chosen_engine()(self.vectors)

    @cached_property
    def directions(self) -> Index:
        """The engine that finds what points the same way, as pictures that are alike do."""
        if self.kept is not None:
            return self._inverted(self.kept, by_direction=True)
        lengths = np.linalg.norm(self.vectors, axis=1)
        if np.allclose(lengths, 1, atol=1e-3):
            return self.index
        return chosen_engine()(unit(self.vectors))

    def _inverted(self, kept: Kept, *, by_direction: bool = False) -> InvertedIndex:
        checks = (self._check_vectors, kept.check)
        return InvertedIndex(self.taken, kept.inverted, *checks, by_direction=by_direction)

    def _check_vectors(self, rows: NDArray[np.int64]) -> None:
        self._check(rows, VECTOR)

    def _check(self, rows: NDArray[np.int64], name: str) -> None:
        if self.store is None:
            return
        altered = self.store.altered(self.taken.rows[rows], [name])
        if altered.any():
            first = self.paths[rows[int(altered.argmax())]]
            raise DamagedError(f"{self.store.folder} is damaged: {first}.")

    def packed(self, row: int) -> NDArray[np.float16]:
        """Return the packed parts of one picture, float16 (parts, numbers).

        Raises
        ------
        DataError
            If there are none.
        DamagedError
            If they are not as they were written.
        """
        if self.store is None or PARTS not in self.store.columns:
            raise DataError(
                "This gallery has nothing for a second stage to look at: synchronize it with the "
                "matcher that is searched with."
            )
        self._check(np.array([row]), PARTS)
        return np.array(self.store.column(PARTS)[self.taken.rows[row]])


def _some(column: Sequence[str], rows: Sequence[int]) -> Sequence[str]:
    if not isinstance(column, Texts):
        return [column[row] for row in rows]
    kept = np.zeros(len(column), np.bool_)
    kept[rows] = True
    return column.only(kept)
