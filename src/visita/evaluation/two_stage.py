"""Two stages measured: a query's first few items by the vectors, in the order of both stages.

What the second stage does not look at comes after what it does, in the first stage's order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.evaluation.blocks import ScoreBlocks, Truth, dot_blocks
from visita.evaluation.ranks import Ranks, best_ranks
from visita.evaluation.retrieval import recall_sum
from visita.types import FloatArray

BELOW = 4.0
"""Taken off the cosine of what is not looked at, so that it is below all that is."""
WEIGHTS = tuple(step / 20 for step in range(20))
"""Among which beta of the second stage is chosen."""


@dataclass(frozen=True)
class TwoStageBlocks:
    """``ScoreBlocks`` of q queries and n items, of which each query's first are re-scored.

    Attributes
    ----------
    first : ScoreBlocks
        Cosines.
    second : csr float32 (q, n)
        The second stage's scores, -1 to 1, at least where it looks.
    weight : float
        beta of the second stage.
    depth : int
        How many of a query's items it looks at.
    """

    first: ScoreBlocks
    second: sparse.csr_array
    weight: float
    depth: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return (q, n)."""
        return self.first.shape

    def __iter__(self) -> Iterator[tuple[slice, FloatArray]]:
        for rows, cosines in self.first:
            looked = first_items(cosines, self.depth)
            second = self.second[rows].toarray()
            scores = cosines - np.float32(BELOW)
            both = (1 - self.weight) * cosines + self.weight * second
            np.put_along_axis(scores, looked, np.take_along_axis(both, looked, 1), 1)
            yield rows, scores.astype(np.float32)


def first_items(scores: FloatArray, depth: int) -> NDArray[np.int64]:
    """Return the items with each query's ``depth`` best scores, in no order: int64 (q, depth)."""
    depth = min(depth, scores.shape[1])
    return np.argpartition(-scores, depth - 1, axis=1)[:, :depth]


def looked_at(images: FloatArray, texts: FloatArray, depth: int) -> Truth:
    """Return which pairs the second stage looks at in either direction, csr bool (n, m)."""
    by_image = _marked(dot_blocks(images, texts), depth)
    by_text = _marked(dot_blocks(texts, images), depth)
    return (by_image + by_text.T).tocsr()


def _marked(blocks: ScoreBlocks, depth: int) -> Truth:
    items = [first_items(scores, depth) for _, scores in blocks]
    columns = np.concatenate(items)
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    marks = np.ones(columns.size, bool)
    return sparse.csr_array((marks, (rows, columns.ravel())), shape=blocks.shape)


def two_stage_ranks(
    images: FloatArray,
    texts: FloatArray,
    second: sparse.csr_array,
    truth: Truth,
    weight: float,
    depth: int,
) -> tuple[Ranks, Ranks]:
    """Return ``best_ranks`` of both directions, of images (n, 3) and of texts (m, 3).

    Parameters
    ----------
    images, texts : float32 (n, d), (m, d)
        The first stage's vectors.
    second : csr float32 (n, m)
        The second stage's scores where ``looked_at``.
    """
    forward = TwoStageBlocks(dot_blocks(images, texts), second, weight, depth)
    backward = TwoStageBlocks(dot_blocks(texts, images), second.T.tocsr(), weight, depth)
    return best_ranks(forward, truth), best_ranks(backward, truth.T.tocsr())


def choose_weight(by_image: TwoStageBlocks, by_text: TwoStageBlocks, truth: Truth) -> float:
    """Return the beta with the best rsum, of equally good ones the smallest.

    Parameters
    ----------
    by_image, by_text : TwoStageBlocks
        Of n images that ask for m texts, and the other way round; their own weight is not used.
    truth : csr bool (n, m)
    """
    mirrored = truth.T.tocsr()
    found = [
        recall_sum(
            best_ranks(replace(by_image, weight=weight), truth),
            best_ranks(replace(by_text, weight=weight), mirrored),
        )
        for weight in WEIGHTS
    ]
    return WEIGHTS[int(np.argmax(found))]
