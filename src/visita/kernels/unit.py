"""Vectors of length 1, whose inner product is their cosine."""

from __future__ import annotations

import numpy as np

from visita.types import FloatArray


def unit_and_length(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rows scaled to length 1, float32 (n, d), and their lengths, float32 (n,).

    A matcher's vectors are at most 1 long, and their inner product is the score. A store that
    compares by cosine or by distance forgets the length: take its unit vectors, and multiply what
    it finds by the length of the picture's and of the text's to have the score and its order.
    """
    lengths = np.linalg.norm(np.asarray(vectors, np.float32), axis=1)
    return unit(vectors), np.asarray(lengths, np.float32)


def unit(vectors: FloatArray) -> FloatArray:
    """Return the rows scaled to length 1, float32 (n, d); zero rows stay zero."""
    vectors = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)
