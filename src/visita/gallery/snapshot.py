"""What readers of a gallery use: paths and vectors of one moment, which no sync alters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from visita.brief import counted
from visita.data.locations import location
from visita.errors import DamagedError, DataError
from visita.gallery.engines import Index, chosen_engine
from visita.progress import say_once
from visita.store.store import FeatureStore
from visita.types import FloatArray
from visita.vectors import unit

VECTOR = "vector"
PARTS = "parts"


class Vectors(NamedTuple):
    """The vectors of one matcher as a reader finds them; those that were damaged are not there."""

    store: FeatureStore
    rows: dict[str, int]
    """By digest."""


@dataclass(frozen=True, eq=False)
class Parts:
    """Packed parts of pictures; what is asked for is read from disk, and nothing else.

    Attributes
    ----------
    store : FeatureStore
        Its column is memory-mapped, float16 (m, parts, numbers).
    rows : int64 (n,)
        Where each picture's are.
    """

    store: FeatureStore
    rows: NDArray[np.int64]

    @property
    def column(self) -> NDArray[np.float16]:
        """The parts of all pictures that the store has."""
        return self.store.column(PARTS)


@dataclass(frozen=True, eq=False, repr=False)
class Snapshot:
    """The pictures of a gallery that one matcher has a vector for, in the order of their paths.

    Attributes
    ----------
    paths : list of str (n)
        Absolute; strings, as a million of them are quick to read and to sort. Iterating gives
        ``Path``.
    vectors : float32 (n, d)
        At most 1 long, read-only.
    digests : list of str (n)
        Hex SHA-256 of each file's content.
    parts : Parts or None
        Of the pictures, where the matcher has a second stage.
    dates : sequence of str or None (n)
        When each was taken, as in ``Metadata``; empty where that was not asked for.
    """

    paths: list[str]
    vectors: FloatArray
    digests: list[str]
    parts: Parts | None = None
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
        store, places = vectors
        stored = {path: digest for path, digest in digests.items() if digest in places}
        damaged = {d for d in digests.values() if d not in places and d in store}
        if damaged:
            say_once(f"{store.folder} is damaged: {counted(len(damaged), 'picture')} left out")
        rows = np.array([places[digest] for digest in stored.values()], np.int64)
        taken: Any = store.column(VECTOR)[rows]
        taken.flags.writeable = False
        parts = Parts(store, rows) if PARTS in store.columns else None
        return cls([root + path for path in stored], taken, list(stored.values()), parts)

    def only(self, rows: Sequence[int], dates: Sequence[str | None]) -> Self:
        """Return some of the pictures, by ascending rows, with the dates of these."""
        if len(rows) == len(self):
            return replace(self, dates=dates)
        parts = self.parts and replace(self.parts, rows=self.parts.rows[np.asarray(rows, np.int64)])
        paths, digests = ([column[row] for row in rows] for column in (self.paths, self.digests))
        vectors = self.vectors[np.asarray(rows, np.int64)]
        vectors.flags.writeable = False
        return replace(
            self, paths=paths, vectors=vectors, digests=digests, parts=parts, dates=dates
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Path]:
        """Yield the pictures' files."""
        return map(location, self.paths)

    def __repr__(self) -> str:
        """Return how many pictures there are, and how many numbers a vector has."""
        return f"<Snapshot: {counted(len(self), 'picture')}, vectors of {self.vectors.shape[1]}>"

    @cached_property
    def index(self) -> Index:
        """The engine that searches the vectors, made on first use."""
        return chosen_engine()(self.vectors)

    @cached_property
    def directions(self) -> Index:
        """The engine that finds what points the same way, as pictures that are alike do."""
        lengths = np.linalg.norm(self.vectors, axis=1)
        if np.allclose(lengths, 1, atol=1e-3):
            return self.index
        return chosen_engine()(unit(self.vectors))

    def packed(self, row: int) -> NDArray[np.float16]:
        """Return the packed parts of one picture, float16 (parts, numbers).

        Raises
        ------
        DataError
            If there are none.
        DamagedError
            If they are not as they were written.
        """
        if self.parts is None:
            raise DataError(
                "This gallery has nothing for a second stage to look at: synchronize it with the "
                "matcher that is searched with."
            )
        if self.parts.store.damaged([self.digests[row]], [PARTS]):
            raise DamagedError(f"{self.parts.store.folder} is damaged: {self.paths[row]}.")
        return np.array(self.parts.column[self.parts.rows[row]])
