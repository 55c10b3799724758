"""Vectors of length 1, whose inner product is their cosine."""

from __future__ import annotations

import numpy as np

from visita.types import FloatArray


def unit(vectors: FloatArray) -> FloatArray:
    """Return the rows scaled to length 1, float32 (n, d); zero rows stay zero."""
    vectors = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)
