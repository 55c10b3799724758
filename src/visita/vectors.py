"""Vectors of length 1, whose inner product is their cosine, and several joined into one.

Linear kernels joined into one vector, and the joined vector made shorter again.

Sum_k beta_k <a_k, b_k> is the inner product of the vectors sqrt(beta_k) a_k laid end
to end, so any weighted sum of similarities needs one vector a picture.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visita.types import FloatArray


def unit_and_length(vectors: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the rows scaled to length 1, float32 (n, d), and their lengths, float32 (n,).

    A matcher's vectors are at most 1 long (0.65 to 1.0 with the shipped matchers), and their inner
    product is the score. A store that compares by cosine or by distance ignores their length: give
    it the unit vectors, and multiply each cosine that it returns by the lengths of the picture's
    and the text's vectors to have the score and its order.

    Examples
    --------
    >>> import numpy as np
    >>> unit, length = visita.unit_and_length(np.array([[0, 0.5]], np.float32))
    >>> unit.tolist(), length.tolist()
    ([[0.0, 1.0]], [0.5])
    """
    lengths = np.linalg.norm(np.asarray(vectors, np.float32), axis=1)
    return unit(vectors), np.asarray(lengths, np.float32)


def unit(vectors: FloatArray) -> FloatArray:
    """Return the rows scaled to length 1, float32 (n, d); zero rows stay zero."""
    vectors = np.asarray(vectors, np.float32)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), np.float32)


def in_bytes(vectors: FloatArray) -> NDArray[np.int8]:
    """Return unit vectors (n, d) in 8 bits a number; ``unit`` of them is near what they were."""
    largest = np.abs(vectors).max(axis=1, keepdims=True)
    return np.rint(vectors / np.where(largest > 0, largest, 1) * 127).astype(np.int8)


def join(parts: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """Return float32 (n, sum of d_k): each (n, d_k) part scaled by the root of its weight."""
    scaled = [np.sqrt(w) * part for part, w in zip(parts, weights, strict=True)]
    return np.concatenate(scaled, axis=1).astype(np.float32)
