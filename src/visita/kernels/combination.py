"""Linear kernels joined into one vector, and the joined vector made shorter again.

Sum_k beta_k <a_k, b_k> is the inner product of the vectors sqrt(beta_k) a_k laid end
to end, so any weighted sum of similarities needs one vector a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import linalg

from visita.types import FloatArray


def join(parts: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """Return float32 (n, sum of d_k): each (n, d_k) part scaled by the root of its weight."""
    scaled = [np.sqrt(w) * part for part, w in zip(parts, weights, strict=True)]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def second_moments(blocks: Iterable[FloatArray]) -> FloatArray:
    """Return the mean over all rows x of x xᵀ, (d, d), from blocks (b, d) of them."""
    total, count = np.zeros((), np.float32), 0
    for block in blocks:
        total, count = total + block.T @ block, count + len(block)
    return np.asarray(total / np.float32(count))


def reduction(images: FloatArray, texts: FloatArray, dim: int) -> FloatArray:
    """Return P (d, dim), orthonormal columns, so that <xP, yP> is near <x, y>.

    The columns span the leading directions of both sides together (SVD of the two
    second-moment matrices' sum, each side counted alike).

    Parameters
    ----------
    images, texts : float32 (d, d)
        Each side's ``second_moments``.
    """
    moments = images + texts
    size = len(moments)
    _, vectors = linalg.eigh(moments, subset_by_index=(max(0, size - dim), size - 1))
    return np.ascontiguousarray(vectors[:, ::-1], dtype=np.float32)
