"""Random galleries of several sizes, for calibration: half of the queries find their picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.evaluation.blocks import Truth, blocks_with_truth, check_truth, dot_blocks
from visita.types import FloatArray

TOP = 10
_QUERIES = 5000  # more texts than this are sampled: enough for three numbers, and minutes saved


@dataclass(frozen=True, slots=True, eq=False)
class GalleryResults:
    """The first results of q queries in galleries of about one size.

    ``scores`` float32 (q, TOP), best first, -inf where a gallery has fewer pictures;
    ``labels`` bool (q, TOP); ``size`` is what the galleries hold.
    """

    size: int
    scores: FloatArray
    labels: NDArray[np.bool_]


def draw_galleries(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    sizes: Sequence[int],
    seed: int,
) -> Iterator[GalleryResults]:
    """Search with each text in a random gallery of each size, one result a size.

    Half of the texts, drawn at random, have one true picture in the gallery, the
    others none; the rest are pictures that are not true for the text. More than
    5,000 texts are sampled. Sizes above n become n.

    Parameters
    ----------
    image_vectors, text_vectors : float32 (n, d), (m, d)
    truth : csr bool (n, m)
    sizes : sequence of int
        At least 1.

    Raises
    ------
    DataError
        If shapes disagree, a text has no image, a score is not finite or there is one image.
    """
    truth = check_truth(truth, (len(image_vectors), len(text_vectors)))
    images_of = truth.T.tocsr()
    if len(image_vectors) < 2 or not np.diff(images_of.indptr).all():
        raise DataError(
            "A calibration needs two images or more, and texts that each have an image; "
            "leave out texts without one."
        )
    rng = np.random.default_rng(seed)
    if len(text_vectors) > _QUERIES:
        rows = np.sort(rng.choice(len(text_vectors), _QUERIES, replace=False))
        text_vectors, images_of = text_vectors[rows], images_of[rows]
    blocks = dot_blocks(text_vectors, image_vectors)
    for size in sorted({min(size, len(image_vectors)) for size in sizes}):
        found = [
            _search(scores, true, size, rng)
            for _, scores, true in blocks_with_truth(blocks, images_of)
        ]
        scores, labels = (np.concatenate(part) for part in zip(*found, strict=True))
        yield GalleryResults(size, scores, labels)


def _search(
    scores: FloatArray, true: Truth, size: int, rng: np.random.Generator
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Draw one gallery a query and return its first results, as in ``GalleryResults``."""
    queries = len(scores)
    matches = true.toarray()
    # The gallery is the pictures with the smallest keys: a true one for sure, or none.
    keys = np.where(matches, 2, rng.random(scores.shape))
    present = np.flatnonzero(rng.random(queries) < 0.5)
    picked = true.indptr[:-1] + (rng.random(queries) * np.diff(true.indptr)).astype(int)
    keys[present, true.indices[picked[present]]] = -1
    last = np.partition(keys, size - 1, axis=1)[:, size - 1, None]
    held = np.where(keys <= np.minimum(last, 1), scores, -np.inf).astype(np.float32)
    first = np.argsort(-held, axis=1, kind="stable")[:, :TOP]
    top = np.full((queries, TOP), -np.inf, dtype=np.float32)
    labels = np.zeros((queries, TOP), dtype=bool)
    top[:, : first.shape[1]] = np.take_along_axis(held, first, axis=1)
    labels[:, : first.shape[1]] = np.take_along_axis(matches, first, axis=1)
    return top, labels & np.isfinite(top)
