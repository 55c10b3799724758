"""What an engine that finds the nearest vectors has to do.

The reference engine: every inner product is computed, and none is missed.

A first pass in float32 leaves out what rounding cannot bring among the best; the rest is
computed in float64. So the scores of a query do not depend on the queries beside it, and
equal pictures have equal scores, neither of which holds for a float32 matrix product.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visita.errors import ConfigError, DataError
from visita.registry import Registry
from visita.types import FloatArray

VARIABLE = "VISITA_ENGINE"
ENGINES = Registry(
    "engine",
    {
        "exact": "visita.gallery.engines:ExactIndex",
        "inverted": "visita.gallery.inverted_index:inverted_index",
    },
)
"""What builds an ``Index`` from float32 (n, d); ``VISITA_ENGINE`` names the one for pictures.

Where it names none, a large gallery keeps an inverted file, and others are searched exactly.
"""


class Index(Protocol):
    """Vectors of n pictures, searchable by inner product; built from float32 (n, d).

    ``visita.testing.check_index`` tells whether an engine keeps this contract.
    """

    def __len__(self) -> int:
        """Return n."""
        ...

    def search(self, queries: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the min(k, n) best rows of each query and their scores, best first.

        Parameters
        ----------
        queries : float32 (q, d)
        k : int
            At least 1.

        Returns
        -------
        rows : int64 (q, min(k, n))
            Of equal scores, the lower row comes first.
        scores : float32 (q, min(k, n))
            Inner products.

        Raises
        ------
        DataError
            If the queries have another width than the vectors, or are not finite.
        ConfigError
            If k is below 1.
        """
        ...


def named_engine() -> str:
    """Return what ``VISITA_ENGINE`` names, or ``""``."""
    return os.environ.get(VARIABLE, "")


def chosen_engine() -> Callable[[FloatArray], Index]:
    """Return the engine that ``VISITA_ENGINE`` names, the exact one where it names none.

    Raises
    ------
    UnknownNameError
        If there is no such engine.
    """
    engine: Callable[[FloatArray], Index] = ENGINES.load(named_engine() or "exact")
    return engine


_BLOCK_SCORES = 2**24
_BLOCK_ROWS = 4096


class ExactIndex:
    """Searches float32 (n, d) by going through all of it; ``visita.gallery.engines.Index``.

    Raises
    ------
    DataError
        If the vectors are not two-dimensional or not finite.
    """

    def __init__(self, vectors: FloatArray) -> None:
        self._vectors, norms = checked_vectors(vectors, "The gallery")
        # An inner product of d float32 terms is off by at most d/2 eps |query| |vector|.
        self._rounding = vectors.shape[1] * np.finfo(np.float32).eps * norms.max(initial=0.0)

    def __len__(self) -> int:
        return len(self._vectors)

    def search(self, queries: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the min(k, n) best rows of each query and their scores, best first."""
        n, width = self._vectors.shape
        queries, norms = checked_queries(queries, k, width)
        rows = np.empty((len(queries), min(k, n)), np.int64)
        scores = np.empty(rows.shape, np.float32)
        if not n:
            return rows, scores
        block = max(1, _BLOCK_SCORES // n)
        for start in range(0, len(queries), block):
            rough = queries[start : start + block] @ self._vectors.T
            for i, row in enumerate(rough, start):
                near = _near_best(row, rows.shape[1], self._rounding * norms[i])
                rows[i], scores[i] = self._best(near, queries[i], rows.shape[1])
        return rows, scores

    def _best(
        self, rows: NDArray[np.int64], query: FloatArray, k: int
    ) -> tuple[NDArray[np.int64], FloatArray]:
        parts = (rows[at : at + _BLOCK_ROWS] for at in range(0, len(rows), _BLOCK_ROWS))
        exact = [
            self._vectors[part].astype(np.float64) @ query.astype(np.float64) for part in parts
        ]
        scores = np.concatenate(exact).astype(np.float32)
        order = np.argsort(-scores, kind="stable")[:k]
        return rows[order], scores[order]


def _near_best(scores: FloatArray, k: int, slack: float) -> NDArray[np.int64]:
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    return np.flatnonzero(scores >= least - slack)


def checked_queries(queries: FloatArray, k: int, width: int) -> tuple[FloatArray, FloatArray]:
    """Return queries as float32 (q, width), and their lengths (q,), of which k are searched for.

    Raises
    ------
    DataError, ConfigError
        As ``Index.search``.
    """
    if k < 1:
        raise ConfigError(f"{k} matches cannot be searched for: ask for at least 1.")
    queries, norms = checked_vectors(queries, "The query")
    if queries.shape[1] != width:
        raise DataError(
            f"The query has {queries.shape[1]} numbers, the gallery's vectors {width}: "
            "use the matcher that the gallery was synchronized with."
        )
    return queries, norms


def checked_vectors(vectors: FloatArray, what: str) -> tuple[FloatArray, FloatArray]:
    """Return vectors as float32 (n, d), and their lengths (n,); ``what`` begins an error.

    Raises
    ------
    DataError
        If they are not two-dimensional or not finite.
    """
    vectors = np.asarray(vectors, np.float32)
    if vectors.ndim != 2:
        raise DataError(f"{what} must be an array (n, d), not of shape {vectors.shape}.")
    norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    if not np.isfinite(norms).all():
        raise DataError(f"{what} holds numbers that are not finite (NaN or infinite).")
    return vectors, norms
