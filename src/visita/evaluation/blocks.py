"""Scores of queries against items, a block of rows at a time, or all in memory.

Everything that ranks goes through these blocks, so evaluation needs neither a gallery nor the
whole (queries, items) matrix in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.errors import DataError
from visita.types import FloatArray


@dataclass(frozen=True)
class DenseBlocks:
    """``ScoreBlocks`` of a matrix, float32 (q, n), in one block."""

    scores: FloatArray

    @property
    def shape(self) -> tuple[int, int]:
        """Return (q, n)."""
        return self.scores.shape[0], self.scores.shape[1]

    def __iter__(self) -> Iterator[tuple[slice, FloatArray]]:
        yield slice(0, len(self.scores)), self.scores


def as_vectors(scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return vectors (n, m) and (m, m) whose inner products are ``scores``, float32 (n, m).

    For what measures vectors; of a few thousand texts, as they take m² numbers.
    """
    return scores, np.eye(scores.shape[1], dtype=np.float32)


Truth = Any
"""Sparse boolean (images, texts), as in a ``PairSet``; scipy has no types to name it with."""


class ScoreBlocks(Protocol):
    """Scores of q queries against n items, higher is better.

    Iterating gives ``(rows, scores)`` in order: a slice of the queries and their
    scores, float32 (rows, n). It can be iterated more than once.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Return (q, n)."""
        ...

    def __iter__(self) -> Iterator[tuple[slice, FloatArray]]: ...


@dataclass(frozen=True, slots=True)
class _DotBlocks:
    queries: FloatArray
    items: FloatArray
    rows: int

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.queries), len(self.items)

    def __iter__(self) -> Iterator[tuple[slice, FloatArray]]:
        for start in range(0, len(self.queries), self.rows):
            rows = slice(start, min(start + self.rows, len(self.queries)))
            yield rows, self.queries[rows] @ self.items.T


def dot_blocks(queries: FloatArray, items: FloatArray, rows: int = 512) -> ScoreBlocks:
    """Return the inner products of queries (q, d) with items (n, d), ``rows`` queries at a time.

    Swap the arguments for the other direction.

    Raises
    ------
    DataError
        If the vectors are not two tables of the same width.
    """
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise DataError(
            f"Vectors of shapes {queries.shape} and {items.shape} cannot be compared; "
            "give (queries, d) and (items, d) from one matcher."
        )
    return _DotBlocks(np.asarray(queries, np.float32), np.asarray(items, np.float32), rows)


BothWays = tuple[ScoreBlocks, ScoreBlocks]
"""Scores of images that ask for texts, and of texts that ask for images."""


def vectors_both_ways(images: FloatArray, texts: FloatArray) -> BothWays:
    """Return the inner products of images (n, d) and texts (m, d), both ways."""
    return dot_blocks(images, texts), dot_blocks(texts, images)


def scores_both_ways(scores: FloatArray) -> BothWays:
    """Return the scores of images and texts, float32 (n, m), both ways."""
    return DenseBlocks(scores), DenseBlocks(np.ascontiguousarray(scores.T))


def check_scores(scores: NDArray[np.floating[Any]]) -> None:
    """Refuse scores that cannot be ranked.

    Raises
    ------
    DataError
        If one is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise DataError(
            "Some scores are NaN or infinite, so nothing can be ranked; look for them in the "
            "vectors, and train again (a lower learning rate often helps) if they come from there."
        )


def check_truth(truth: Truth, shape: tuple[int, int]) -> Truth:
    """Return ``truth`` as a boolean csr array with sorted, unique entries.

    Raises
    ------
    DataError
        If it is not of the given shape or has no true pair.
    """
    if truth.shape != shape:
        raise DataError(
            f"The truth is {truth.shape[0]} × {truth.shape[1]} but the scores are "
            f"{shape[0]} × {shape[1]}; pass vectors and truth of the same split."
        )
    clean = sparse.csr_array(truth, dtype=bool)
    clean.sum_duplicates()
    clean.eliminate_zeros()
    if clean.nnz == 0:
        raise DataError("The truth holds no true pair; check the pairs of this split.")
    return clean


def blocks_with_truth(
    blocks: ScoreBlocks, truth: Truth
) -> Iterator[tuple[slice, FloatArray, Truth]]:
    """Go through the blocks with the matching rows of ``truth``, csr bool (q, n), checking both.

    Raises
    ------
    DataError
        If shapes disagree, blocks do not cover the queries in order, or a score is not finite.
    """
    truth = check_truth(truth, blocks.shape)
    expected = 0
    for rows, scores in blocks:
        if rows.start != expected or scores.shape != (rows.stop - rows.start, blocks.shape[1]):
            raise DataError(
                f"A score block of shape {scores.shape} came for the queries {rows.start} to "
                f"{rows.stop}; blocks must follow each other and hold every item."
            )
        check_scores(scores)
        expected = rows.stop
        yield rows, scores, truth[rows]
    if expected != blocks.shape[0]:
        raise DataError(f"Score blocks ended at query {expected} of {blocks.shape[0]}.")
