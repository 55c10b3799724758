"""Scores that are all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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
