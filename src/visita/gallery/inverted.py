"""An inverted file: lists of vectors that lie together, of which a search looks at the nearest.

The vectors are reduced to their first principal components, by which texts tell them apart
nearly as well as by all, and put into lists by k-means (IVF; Jégou, Douze & Schmid, 2011, with
components in place of product codes). What comes out best is to be scored again by whole vectors.
``docs/results/vector-engines.md`` compares it with others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from visita.types import FloatArray

COMPONENTS = 96
LISTS = 4
"""For each of the root of the number of vectors."""
SAMPLE = 32
"""Vectors for each list that k-means learns from."""
ROUNDS = 8
NEIGHBOURS = 10
FOUND = 0.99
"""The share of the true neighbours whose lists are looked at."""
BLOCK = 4096
Check = Callable[[NDArray[np.int64]], None]
"""Raises ``DamagedError`` if one of some rows, or lists, is not as it was written."""


@dataclass(frozen=True, eq=False)
class Inverted:
    """Lists of n vectors of d numbers, each reduced to r.

    Attributes
    ----------
    basis : float32 (d, r)
        Orthonormal columns.
    centroids : float32 (l, r)
        The mean of each list when k-means learnt it.
    starts : int64 (l + 1,)
        Where each list begins and ends.
    rows : int32 (n,)
        Of which vector each entry is.
    reduced : float32 (n, r)
        The entries, list by list.
    lengths : float32 (n,)
        Of the whole vectors.
    reach : float
        As many entries are looked at for the ten best of n as this times the root of n.
    learnt_on : int
        How many vectors there were when the lists were learnt.
    """

    basis: FloatArray
    centroids: FloatArray
    starts: NDArray[np.int64]
    rows: NDArray[np.int32]
    reduced: FloatArray
    lengths: FloatArray
    reach: float
    learnt_on: int

    @classmethod
    def build(cls, vectors: FloatArray, queries: FloatArray, seed: int = 0) -> Self:
        """Learn the lists of vectors (n, d), n at least 1, that queries (q, d) are searched in."""
        rng = np.random.default_rng(seed)
        lists = max(1, min(len(vectors) // SAMPLE, int(LISTS * len(vectors) ** 0.5)))
        drawn = np.sort(rng.permutation(len(vectors))[: max(lists * SAMPLE, BLOCK)])
        sample = np.asarray(vectors[drawn], np.float32)
        basis = _principal(sample)
        empty: dict[str, Any] = {
            "rows": np.empty(0, np.int32),
            "reduced": np.empty((0, basis.shape[1]), np.float32),
            "lengths": np.empty(0, np.float32),
        }
        centroids, starts = _means(sample @ basis, lists, rng), np.zeros(lists + 1, np.int64)
        learnt = cls(basis, centroids, starts, **empty, reach=0.0, learnt_on=len(vectors))
        whole = learnt.extended(vectors)
        return replace(whole, reach=whole.needed(vectors, queries))

    def __len__(self) -> int:
        return len(self.rows)

    def extended(self, vectors: FloatArray) -> Self:
        """Return the lists of more vectors (m, d), of which the first n are in them already."""
        new = len(vectors) - len(self)
        reduced = np.empty((new, self.basis.shape[1]), np.float32)
        lengths, lists = np.empty(new, np.float32), np.empty(new, np.int64)
        for block in _blocks(new):
            part = np.asarray(vectors[len(self) + block.start : len(self) + block.stop])
            reduced[block], lengths[block] = part @ self.basis, np.linalg.norm(part, axis=1)
            lists[block] = _nearest(reduced[block], self.centroids)
        lists = np.concatenate([self._lists(), lists])
        order = np.argsort(lists, kind="stable")
        rows = np.arange(len(self), len(vectors), dtype=np.int32)
        return replace(
            self,
            starts=np.searchsorted(lists[order], np.arange(len(self.starts))),
            rows=np.concatenate([self.rows, rows])[order],
            reduced=np.concatenate([self.reduced, reduced])[order],
            lengths=np.concatenate([self.lengths, lengths])[order],
        )

    def _lists(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.centroids)), np.diff(self.starts))

    def order(self, query: FloatArray) -> NDArray[np.int64]:
        """Return the lists (l,), the most promising for a reduced query (r,) first."""
        return np.argsort(-(self.centroids @ query), kind="stable")

    def needed(self, vectors: FloatArray, queries: FloatArray) -> float:
        """Return the least reach with which the share ``FOUND`` of true neighbours is seen."""
        best = neighbours(vectors, queries, NEIGHBOURS)
        list_of = np.empty(len(self), np.int64)
        list_of[self.rows] = self._lists()
        seen = []
        for query, rows in zip(queries @ self.basis, best, strict=True):
            order = self.order(query)
            passed = np.empty(len(order), np.int64)
            passed[order] = np.cumsum(np.diff(self.starts)[order])
            seen.append(passed[list_of[rows]])
        return float(np.quantile(seen, FOUND) / len(self) ** 0.5)


class Looked:
    """The entries of an inverted file that a search may find.

    Parameters
    ----------
    inverted : Inverted
    allowed : bool (m,)
        Of each vector, of which the first n are in the file.
    check
        Is shown the lists of which ``reduced`` is to be read.
    """

    def __init__(
        self, inverted: Inverted, allowed: NDArray[np.bool_], check: Check = lambda _: None
    ) -> None:
        self._inverted = inverted
        self._check = check
        self._allowed = allowed[inverted.rows]
        self._places = np.flatnonzero(self._allowed)
        self._starts = np.searchsorted(self._places, inverted.starts)

    def __len__(self) -> int:
        return len(self._places)

    @cached_property
    def _is_dense(self) -> bool:
        """Whether whole lists are read as fast as what is allowed of them."""
        return 4 * len(self) >= len(self._inverted)

    def near(
        self, query: FloatArray, k: int, count: int, *, by_direction: bool = False
    ) -> NDArray[np.int64]:
        """Return the vectors among which the k best for a query (d,) are, ``count`` or all.

        ``by_direction``: cosines are compared, instead of inner products.
        """
        reduced = np.asarray(query @ self._inverted.basis, np.float32)
        lists = self._lists(reduced, k, count)
        self._check(lists)
        places, scores = self._scored(reduced, lists)
        if by_direction:
            tiny = np.finfo(np.float32).tiny
            scores = np.divide(scores, np.maximum(self._inverted.lengths[places], tiny))
        if len(places) > count:
            places = places[np.argpartition(-scores, count)[:count]]
        return self._inverted.rows[places].astype(np.int64)

    def _lists(self, query: FloatArray, k: int, least: int) -> NDArray[np.int64]:
        more = max(1.0, k / NEIGHBOURS) ** 0.25
        wanted = max(least, more * self._inverted.reach * len(self) ** 0.5)
        order = self._inverted.order(query)
        passed = np.cumsum(np.diff(self._starts)[order])
        return order[: np.searchsorted(passed, wanted) + 1]

    def _scored(
        self, query: FloatArray, lists: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], FloatArray]:
        if not self._is_dense:
            places = self._places[_places(self._starts[lists], self._starts[lists + 1])]
            return places, self._inverted.reduced[places] @ query
        inverted = self._inverted
        scores = _joined(inverted.reduced[s] @ query for s in _slices(inverted.starts, lists))
        places = _places(inverted.starts[lists], inverted.starts[lists + 1])
        if len(self) == len(inverted):
            return places, scores
        allowed = self._allowed[places]
        return places[allowed], scores[allowed]


def neighbours(vectors: FloatArray, queries: FloatArray, k: int) -> NDArray[np.int64]:
    """Return the rows of the k vectors (n, d) of the greatest product with each query.

    int64 (q, min(k, n)), in no order; block by block, so that vectors may lie on disk.
    """
    scores = np.empty((len(queries), 0), np.float32)
    rows = np.empty((len(queries), 0), np.int64)
    for block in _blocks(len(vectors)):
        here = np.tile(np.arange(block.start, block.stop), (len(queries), 1))
        scores = np.concatenate([scores, queries @ vectors[block].T], axis=1)
        rows = np.concatenate([rows, here], axis=1)
        best = np.argpartition(-scores, min(k, scores.shape[1]) - 1, axis=1)[:, :k]
        scores = np.take_along_axis(scores, best, axis=1)
        rows = np.take_along_axis(rows, best, axis=1)
    return rows


def _principal(sample: FloatArray) -> FloatArray:
    _, vectors = np.linalg.eigh(sample.T.astype(np.float64) @ sample)
    return np.ascontiguousarray(vectors[:, ::-1][:, :COMPONENTS], np.float32)


def _means(sample: FloatArray, count: int, rng: np.random.Generator) -> FloatArray:
    """Return the centroids that Lloyd's algorithm finds; one that nothing is near stays."""
    means = sample[rng.permutation(len(sample))[:count]]
    for _ in range(ROUNDS):
        lists = np.concatenate([_nearest(sample[block], means) for block in _blocks(len(sample))])
        order = np.argsort(lists, kind="stable")
        taken, starts, sizes = np.unique(lists[order], return_index=True, return_counts=True)
        means[taken] = np.add.reduceat(sample[order], starts, axis=0) / sizes[:, None]
    return means


def _nearest(vectors: FloatArray, means: FloatArray) -> NDArray[np.int64]:
    lengths = np.einsum("lr,lr->l", means, means)
    return np.asarray((vectors @ means.T - lengths / 2).argmax(axis=1), np.int64)


def _blocks(count: int) -> Iterator[slice]:
    for start in range(0, count, BLOCK):
        yield slice(start, min(start + BLOCK, count))


def _slices(starts: NDArray[np.int64], lists: NDArray[np.int64]) -> Iterator[slice]:
    return map(slice, starts[lists].tolist(), starts[lists + 1].tolist())


def _places(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers of several ranges, one range after the other."""
    sizes = ends - starts
    shifts = starts - np.cumsum(sizes) + sizes
    return np.asarray(np.arange(sizes.sum()) + np.repeat(shifts, sizes), np.int64)


def _joined(parts: Iterator[NDArray[Any]]) -> NDArray[Any]:
    return np.concatenate(list(parts))
