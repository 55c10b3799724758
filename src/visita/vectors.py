"""Vectors of length 1, whose inner product is their cosine, and several joined into one.

Linear kernels joined into one vector, and the joined vector made shorter again.

Sum_k beta_k <a_k, b_k> is the inner product of the vectors sqrt(beta_k) a_k laid end
to end, so any weighted sum of similarities needs one vector a picture.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def join(parts: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """Return float32 (n, sum of d_k): each (n, d_k) part scaled by the root of its weight."""
    scaled = [np.sqrt(w) * part for part, w in zip(parts, weights, strict=True)]
    return np.concatenate(scaled, axis=1).astype(np.float32)
