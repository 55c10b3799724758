"""Labelled pairs for the MKL-VisITA paper's loss: as many false ones as true, drawn each epoch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.types import FloatArray

TRIES = 20
"""Draws of a false picture for a text; one that matches nearly all goes without."""


@dataclass(frozen=True, slots=True)
class PairBatch:
    """p pairs.

    Attributes
    ----------
    seen : int64 (p,)
        Row of the picture in one of its views, as in ``labels_of``.
    texts : int64 (p,)
    labels : float32 (p,)
        0 to 1: how much of the picture the text belongs to.
    """

    seen: NDArray[np.int64]
    texts: NDArray[np.int64]
    labels: FloatArray


def labels_of(truth: sparse.csr_array, made_of: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """Return how much of each seen picture each text belongs to, csr float32 ((1 + v) n, m).

    Row ``view * n + i`` is picture i in that view; view 0 is the picture itself.

    Parameters
    ----------
    truth : csr bool (n, m)
    made_of : v of csr float32 (n, n)
        How much of the further views of one picture is which picture.
    """
    plain = truth.astype(np.float32)
    return sparse.vstack([plain, *(one @ plain for one in made_of)], format="csr")


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
    seen = view[owners]
    others, found = _false(labels, view, texts, rng)
    rows = np.concatenate([seen, others[found]])
    columns = np.concatenate([texts, texts[found]])
    order = rng.permutation(len(rows))
    for start in range(0, len(order), size):
        some = order[start : start + size]
        shares = labels[rows[some], columns[some]]
        yield PairBatch(rows[some], columns[some], np.asarray(shares, np.float32))


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
