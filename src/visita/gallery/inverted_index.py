"""The engine of large galleries: an inverted file names candidates, whole vectors choose."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from visita.gallery.columns import Taken
from visita.gallery.engines import ExactIndex, checked_queries, checked_vectors
from visita.gallery.inverted import Check, Inverted, Looked
from visita.types import FloatArray
from visita.vectors import unit

CANDIDATES = 1000
"""Vectors at least that are scored whole."""
EACH = 4
"""And as many for each that is asked for."""
QUERIES = 200


class InvertedIndex:
    """Searches vectors by an inverted file of the first of them; ``visita.gallery.engines.Index``.

    Vectors that are not in the file yet are all scored. Scores are those of ``ExactIndex``, which
    also answers where so much is asked for that little would be left out.

    Parameters
    ----------
    vectors : Taken
        Of float32 (m, d).
    inverted : Inverted
        Of the column's first rows.
    check
        Is shown what is to be scored, once.
    check_lists
        Is shown the lists that are to be read.
    by_direction
        Scores are cosines, queries being unit vectors.
    """

    def __init__(
        self,
        vectors: Taken,
        inverted: Inverted,
        check: Check = lambda _: None,
        check_lists: Check = lambda _: None,
        *,
        by_direction: bool = False,
    ) -> None:
        self._vectors = vectors
        self._check = check
        self._checked = np.zeros(len(vectors), np.bool_)
        self._by_direction = by_direction
        allowed = np.zeros(len(vectors.column), np.bool_)
        allowed[vectors.rows] = True
        self._looked = Looked(inverted, allowed, check_lists)
        self._tail = np.flatnonzero(allowed[len(inverted) :]) + len(inverted)
        self._order = np.argsort(vectors.rows, kind="stable")
        self._sorted = vectors.rows[self._order]

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, queries: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the min(k, n) best rows of each query and their scores, best first."""
        queries, _ = checked_queries(queries, k, self._vectors.column.shape[1])
        count = max(CANDIDATES, EACH * k)
        if count >= len(self):
            return self._whole.search(queries, k)
        found = [self._search(query, k, count) for query in queries]
        rows = np.array([rows for rows, _ in found], np.int64).reshape(-1, k)
        return rows, np.array([scores for _, scores in found], np.float32).reshape(rows.shape)

    def _search(
        self, query: FloatArray, k: int, count: int
    ) -> tuple[NDArray[np.int64], FloatArray]:
        near = self._looked.near(query, k, count, by_direction=self._by_direction)
        rows = self._rows_of(np.concatenate([near, self._tail]))
        new = rows[~self._checked[rows]]
        self._check(new)
        self._checked[new] = True
        best, scores = self._exact(self._vectors[rows]).search(query[None], k)
        return rows[best[0]], scores[0]

    def _rows_of(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows, in ascending order, that are at some places of the column."""
        first, end = (np.searchsorted(self._sorted, places, side) for side in ("left", "right"))
        copies = end - first
        within = np.arange(copies.sum()) - np.repeat(np.cumsum(copies) - copies, copies)
        return np.sort(self._order[np.repeat(first, copies) + within])

    def _exact(self, vectors: FloatArray) -> ExactIndex:
        return ExactIndex(unit(vectors) if self._by_direction else vectors)

    @cached_property
    def _whole(self) -> ExactIndex:
        self._check(np.arange(len(self)))
        return self._exact(self._vectors[:])


def inverted_index(vectors: FloatArray) -> InvertedIndex | ExactIndex:
    """Return the engine for vectors (n, d) in memory; none are searched exactly.

    As there are no texts to learn from, queries are drawn that point anywhere the vectors do.

    Raises
    ------
    DataError
        If the vectors are not two-dimensional or not finite.
    """
    vectors, _ = checked_vectors(vectors, "The gallery")
    if not len(vectors):
        return ExactIndex(vectors)
    rng = np.random.default_rng(0)
    some = vectors[rng.permutation(len(vectors))[: 4 * QUERIES]]
    queries = rng.standard_normal((QUERIES, len(some)), np.float32) @ some
    return InvertedIndex(Taken.all_of(vectors), Inverted.build(vectors, queries))
