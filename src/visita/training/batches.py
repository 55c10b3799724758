"""Which images and texts are seen together: seeded batches of true pairs, or of true and false.

The multi-level fusion paper draws one random negative image for each text and iteration but names
no batch. Ours is a batch of images with all their texts: each image goes through the network once,
and the negatives are drawn among the batch's other images, so they cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


def one_pair_each(
    truth: sparse.csr_array, images: NDArray[np.int64], *, mix: bool, rng: np.random.Generator
) -> Batch:
    """Return a batch of one random true pair of each of the ``images``."""
    first, last = truth.indptr[images], truth.indptr[images + 1]
    return _batch(truth, images, truth.indices[rng.integers(first, last)], 1, mix, rng)


def batch_count(truth: sparse.csr_array, size: int) -> int:
    """Return how many batches ``batches`` yields."""
    full, rest = divmod(truth.nnz, size)
    return int(full + (rest > 1))


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
            chosen = rng.integers(0, views, len(images))
            yield TripletBatch(images, texts, chosen, true, negatives)


TRIES = 20
"""Draws of a false picture for a text; one that matches nearly all goes without."""


@dataclass(frozen=True, slots=True)
class PairBatch:
    """p pairs.

    Attributes
    ----------
    views : int64 (p,)
        Row of the picture in one of its views, as in ``labels_of``.
    texts : int64 (p,)
    labels : float32 (p,)
        0 to 1: how much of the picture the text belongs to.
    """

    views: NDArray[np.int64]
    texts: NDArray[np.int64]
    labels: FloatArray


def labels_of(truth: sparse.csr_array, made_of: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """Return how much of each view of a picture each text belongs to, csr float32 ((1 + v) n, m).

    Row ``view * n + i`` is picture i in that view; view 0 is the picture itself.

    Parameters
    ----------
    truth : csr bool (n, m)
    made_of : v of csr float32 (n, n)
        How much of the further views of one picture is which picture.
    """
    plain = truth.astype(np.float32)
    return sparse.vstack([plain, *(shares @ plain for shares in made_of)], format="csr")


def labelled_pairs(
    labels: sparse.csr_array, images: int, count: int, size: int, rng: np.random.Generator
) -> Iterator[PairBatch]:
    """Yield one epoch in batches of ``size`` pairs, in random order.

    Each picture comes in a random one of its views, with at most ``count`` texts that belong
    to any of it, drawn at random; each such text also comes with a random false picture.

    Parameters
    ----------
    labels : csr float32 (views * images, m)
        As of ``labels_of``.
    """
    views = labels.shape[0] // images
    view = rng.integers(0, views, images) * images + np.arange(images)
    texts, owners = drawn_texts(labels, view, count, rng)
    own = view[owners]
    others, apart = _false(labels, view, texts, rng)
    rows = np.concatenate([own, others[apart]])
    columns = np.concatenate([texts, texts[apart]])
    order = rng.permutation(len(rows))
    for start in range(0, len(order), size):
        part = order[start : start + size]
        shares = labels[rows[part], columns[part]]
        yield PairBatch(rows[part], columns[part], np.asarray(shares, np.float32))


def pair_count(truth: sparse.csr_array, count: int) -> int:
    """Return how many pairs an epoch has, where every picture is seen as it is."""
    return 2 * int(np.minimum(np.diff(truth.indptr), count).sum())


def drawn_texts(
    truth: sparse.csr_array, rows: NDArray[np.int64], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return at most ``count`` texts of each of ``rows``, and for each the place of its row."""
    drawn = [
        rng.permutation(truth.indices[truth.indptr[row] : truth.indptr[row + 1]])[:count]
        for row in rows
    ]
    owners = np.repeat(np.arange(len(rows)), [len(texts) for texts in drawn])
    return np.concatenate(drawn).astype(np.int64), owners


def _false(
    labels: sparse.csr_array,
    view: NDArray[np.int64],
    texts: NDArray[np.int64],
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return a row of ``view`` for each text that it does not belong to, and where there is one."""
    rows = view[rng.integers(0, len(view), len(texts))]
    for _ in range(TRIES):
        wrong = np.flatnonzero(labels[rows, texts] > 0)
        rows[wrong] = view[rng.integers(0, len(view), len(wrong))]
    return rows, np.asarray(labels[rows, texts] == 0)
