"""What readers of a gallery use: paths and vectors of one moment, which no sync alters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from visita.brief import counted
from visita.data.locations import location
from visita.errors import DamagedError, DataError
from visita.gallery.columns import PARTS, VECTOR, Taken
from visita.gallery.engines import Index, chosen_engine
from visita.gallery.inverted_files import Kept
from visita.gallery.inverted_index import InvertedIndex
from visita.progress import say_once
from visita.store.store import FeatureStore
from visita.types import FloatArray
from visita.vectors import unit


class Vectors(NamedTuple):
    """The vectors of one matcher as a reader finds them.

    Those that were damaged are not there; with an inverted file, that is asked of what is found.
    """

    store: FeatureStore
    rows: dict[str, int]
    """By digest."""
    kept: Kept | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """The pictures of a gallery that one matcher has a vector for, in the order of their paths.

    Attributes
    ----------
    paths : list of str (n)
        Absolute; strings, as a million of them are quick to read and to sort. Iterating gives
        ``Path``.
    taken : Taken
        Their vectors, float32 (n, d), at most 1 long.
    digests : list of str (n)
        Hex SHA-256 of each file's content.
    store : FeatureStore or None
        Where the vectors are and, where the matcher has a second stage, packed parts beside them.
    kept : Kept or None
        The inverted file of the vectors in the store, where there is one.
    dates : sequence of str or None (n)
        When each was taken, as in ``Metadata``; empty where that was not asked for.
    """

    paths: list[str]
    taken: Taken
    digests: list[str]
    store: FeatureStore | None = None
    kept: Kept | None = None
    dates: Sequence[str | None] = ()

    @classmethod
    def of(cls, root: str, digests: Mapping[str, str], vectors: Vectors) -> Self:
        """Return the pictures of a folder that there are vectors of.

        Parameters
        ----------
        root
            What paths are added to.
        digests
            By path.
        """
        store, places, kept = vectors
        stored = {path: digest for path, digest in digests.items() if digest in places}
        damaged = {d for d in digests.values() if d not in places and d in store}
        if damaged:
            say_once(f"{store.folder} is damaged: {counted(len(damaged), 'picture')} left out")
        rows = np.array([places[digest] for digest in stored.values()], np.int64)
        taken = Taken(store.column(VECTOR), rows)
        return cls([root + path for path in stored], taken, list(stored.values()), store, kept)

    def only(self, rows: Sequence[int], dates: Sequence[str | None]) -> Self:
        """Return some of the pictures, by ascending rows, with the dates of these."""
        if len(rows) == len(self):
            return replace(self, dates=dates)
        paths, digests = ([column[row] for row in rows] for column in (self.paths, self.digests))
        taken = self.taken.only(np.asarray(rows, np.int64))
        return replace(self, paths=paths, taken=taken, digests=digests, dates=dates)

    @cached_property
    def vectors(self) -> FloatArray:
        """All vectors in memory, float32 (n, d), read-only; see ``taken`` for a few."""
        vectors = self.taken[:]
        vectors.flags.writeable = False
        return vectors

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
            return InvertedIndex(self.taken, self.kept.inverted, self._check_vectors)
        return chosen_engine()(self.vectors)

    @cached_property
    def directions(self) -> Index:
        """The engine that finds what points the same way, as pictures that are alike do."""
        if self.kept is not None:
            inverted = self.kept.inverted
            return InvertedIndex(self.taken, inverted, self._check_vectors, by_direction=True)
        lengths = np.linalg.norm(self.vectors, axis=1)
        if np.allclose(lengths, 1, atol=1e-3):
            return self.index
        return chosen_engine()(unit(self.vectors))

    def _check_vectors(self, rows: NDArray[np.int64]) -> None:
        self._check(rows.tolist(), VECTOR)

    def _check(self, rows: Sequence[int], name: str) -> None:
        store = self.store
        damaged = store.damaged([self.digests[row] for row in rows], [name]) if store else []
        if store and damaged:
            first = next(row for row in rows if self.digests[row] == damaged[0])
            raise DamagedError(f"{store.folder} is damaged: {self.paths[first]}.")

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
        self._check([row], PARTS)
        return np.array(self.store.column(PARTS)[self.taken.rows[row]])
