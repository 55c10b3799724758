"""Which pairs are seen together: seeded batches of true pairs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.types import FloatArray


@dataclass(frozen=True)
class Batch:
    """b true pairs.

    Attributes
    ----------
    images, texts, siblings : int64 (b,)
        Rows of each pair, and of another text of the same image (itself if it has no other).
    shares : float32 (b,)
        How much of the mixed text is ``texts``; the rest is ``siblings``.
    views : int64 (b,)
        Which view of each image.
    also_true : bool (b, b)
        Whether image i matches either text that j is mixed from.
    """

    images: NDArray[np.int64]
    texts: NDArray[np.int64]
    siblings: NDArray[np.int64]
    shares: FloatArray
    views: NDArray[np.int64]
    also_true: NDArray[np.bool_]


def batches(
    truth: sparse.csr_array, size: int, views: int, *, mix: bool, rng: np.random.Generator
) -> Iterator[Batch]:
    """Yield every true pair once, in random order; a last batch of one pair is left out."""
    images, texts = truth.nonzero()
    order = rng.permutation(len(images))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        if len(rows) > 1:
            yield _batch(truth, images[rows].astype(np.int64), texts[rows], views, mix, rng)


def batch_count(truth: sparse.csr_array, size: int) -> int:
    """Return how many batches ``batches`` yields."""
    whole, rest = divmod(truth.nnz, size)
    return int(whole + (rest > 1))


def _batch(
    truth: sparse.csr_array,
    images: NDArray[np.int64],
    texts: NDArray[np.int64],
    views: int,
    mix: bool,
    rng: np.random.Generator,
) -> Batch:
    b = len(images)
    first, last = truth.indptr[images], truth.indptr[images + 1]
    siblings = truth.indices[rng.integers(first, last)] if mix else texts
    rows = truth[images]
    also_true = rows[:, texts].toarray() | rows[:, siblings].toarray()
    return Batch(
        images,
        texts.astype(np.int64),
        siblings.astype(np.int64),
        rng.random(b, dtype=np.float32),
        rng.integers(0, views, b),
        also_true.astype(bool),
    )
