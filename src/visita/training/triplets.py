"""Batches for the hinge loss: images with all their texts, one false image for each text.

The paper draws one random negative image for each text and iteration but names no batch.
Ours is a batch of images: each goes through the network once, for all its texts, and the
negatives are drawn among the batch's other images, so they cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True)
class TripletBatch:
    """b images and the t texts that match any of them.

    Attributes
    ----------
    images, texts : int64 (b,) and (t,)
        Their rows.
    views : int64 (b,)
        Which view of each image.
    true : bool (b, t)
        Which of them belong together.
    negatives : int64 (t,)
        Place in the batch of an image that the text does not match.
    """

    images: NDArray[np.int64]
    texts: NDArray[np.int64]
    views: NDArray[np.int64]
    true: NDArray[np.bool_]
    negatives: NDArray[np.int64]


def triplet_batches(
    truth: sparse.csr_array, size: int, views: int, rng: np.random.Generator
) -> Iterator[TripletBatch]:
    """Yield every image once, in random order; a text that matches a whole batch is left out."""
    order = rng.permutation(truth.shape[0])
    for start in range(0, len(order), size):
        images = order[start : start + size]
        rows = truth[images]
        texts = np.unique(rows.indices).astype(np.int64)
        true = rows[:, texts].toarray().astype(bool)
        useful = ~true.all(axis=0)
        if useful.any():
            texts, true = texts[useful], true[:, useful]
            # The largest of random numbers: any false image is as likely as any other.
            negatives = np.where(true, -1, rng.random(true.shape)).argmax(axis=0)
            seen = rng.integers(0, views, len(images))
            yield TripletBatch(images, texts, seen, true, negatives)
