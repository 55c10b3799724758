"""Recommending by what was chosen before: *Multi-level Image Feature Fusion …*, eqs. 7 and 8.

The past text nearest to a query leads to its picture (eq. 7), and that to the gallery's
pictures most like it (eq. 8). Which vectors stand for texts and pictures is the caller's
choice; both equations compare by cosine.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.evaluation.blocks import ScoreBlocks, Truth, dot_blocks
from visita.gallery.engines import ExactIndex
from visita.types import FloatArray
from visita.vectors import unit


def past_pictures(truth: Truth) -> NDArray[np.int64]:
    """Return the picture of each past text, its first one: int64 (p,), rows of the images.

    Parameters
    ----------
    truth : sparse bool (n, p)
        As in a ``PairSet``.

    Raises
    ------
    DataError
        If a text has no picture.
    """
    pictures = truth.T.tocsr()
    pictures.sort_indices()
    if not np.diff(pictures.indptr).all():
        raise DataError("A past text has no picture; leave out texts without one.")
    return np.asarray(pictures.indices[pictures.indptr[:-1]], np.int64)


def nearest_past(queries: FloatArray, past: FloatArray) -> NDArray[np.int64]:
    """Return the row of the past text most like each query (eq. 7), int64 (m,).

    Parameters
    ----------
    queries, past : float32 (m, d), (p, d)
        Of any length; compared by cosine, that of a zero vector being 0. Of equally near
        texts the first is taken.

    Raises
    ------
    DataError
        If there is no past text, widths differ or a number is not finite.
    """
    if not len(past):
        raise DataError("There is no past text to learn from; give pairs of texts and pictures.")
    rows, _ = ExactIndex(unit(past)).search(unit(queries), 1)
    return rows[:, 0]


def recommendations(
    queries: FloatArray,
    past_texts: FloatArray,
    past_pictures: NDArray[np.int64],
    past_images: FloatArray,
    gallery_images: FloatArray,
) -> ScoreBlocks:
    """Return how much every gallery picture is like the one that eq. 7 chose (eq. 8).

    Parameters
    ----------
    queries, past_texts : float32 (m, d), (p, d)
    past_pictures : int64 (p,)
        Row of ``past_images`` that each past text has, as from ``past_pictures``.
    past_images, gallery_images : float32 (i, e), (n, e)

    Returns
    -------
    ScoreBlocks (m, n)
        Cosines.

    Raises
    ------
    DataError
        As ``nearest_past``, or if the images differ in width.
    """
    chosen = past_images[past_pictures[nearest_past(queries, past_texts)]]
    return dot_blocks(unit(chosen), unit(gallery_images))
