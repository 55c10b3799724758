"""The vectors of a matcher as sums of one vector for each of its kernels.

A matcher that joins kernels scores <Σ_k x_k, Σ_k y_k>, x_k and y_k the shares of kernel k in
the vectors of a picture and of a text. Where the joined vector was not shortened, those of
different kernels are orthogonal, and the score is Σ_k <x_k, y_k>.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from visita.types import FloatArray, Matcher, TextFeatures


@dataclass(frozen=True)
class Split:
    """A matcher's kernels, and what gives their shares of its vectors.

    Attributes
    ----------
    kernels : mapping
        The weight of each kernel, by name.
    images : callable
        As ``embed_images``, but float32 (n, kernels, dim), whose sum over kernels that is.
    texts : callable
        Likewise ``embed_texts``.
    """

    kernels: Mapping[str, float]
    images: Callable[[Mapping[str, FloatArray]], FloatArray]
    texts: Callable[[TextFeatures], FloatArray]


@runtime_checkable
class Joins(Protocol):
    """A matcher that joins kernels."""

    def split(self) -> Split:
        """Return its kernels and what gives their shares of its vectors."""
        ...


def split(matcher: Matcher) -> Split:
    """Return the kernels of a matcher; one that joins none is its own only one."""
    if isinstance(matcher, Joins):
        return matcher.split()
    return Split(
        {matcher.name: 1.0},
        lambda columns: matcher.embed_images(columns)[:, None],
        lambda texts: matcher.embed_texts(texts)[:, None],
    )


def added(images: FloatArray, texts: FloatArray) -> FloatArray:
    """Return what each kernel adds to the score of pairs, float32 (n, kernels).

    What a shortened vector mixes of two kernels counts half for each, so that the sum is the
    score.

    Parameters
    ----------
    images, texts : float32 (n, kernels, dim)
    """
    whole_images, whole_texts = images.sum(axis=1), texts.sum(axis=1)
    ours = np.einsum("nkd,nd->nk", images, whole_texts)
    theirs = np.einsum("nd,nkd->nk", whole_images, texts)
    return np.asarray((ours + theirs) / 2, np.float32)


def placed(
    vectors: Sequence[FloatArray], weights: Sequence[float], basis: NDArray[Any] | None
) -> FloatArray:
    """Return each part's share of the joined vectors, float32 (n, parts, dim)."""
    widths = [part.shape[1] for part in vectors]
    rows = np.eye(sum(widths), dtype=np.float32) if basis is None else basis.astype(np.float32)
    places = np.split(rows, np.cumsum(widths)[:-1])
    shares = np.stack(
        [np.sqrt(w) * (v @ p) for v, w, p in zip(vectors, weights, places, strict=True)], axis=1
    )
    lengths = np.linalg.norm(shares.sum(axis=1), axis=1)[:, None, None]
    wanted = joined_length(vectors, weights)[:, None]
    return np.asarray(shares / np.where(lengths > 0, lengths, 1) * wanted, np.float32)


def joined_length(vectors: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """Return how long joined vectors are, float32 (n, 1): 1 where those of the parts are.

    A part with a zero vector, as of unknown words, leaves it to the others.
    """
    squares = np.stack([np.square(part).sum(axis=1) for part in vectors], axis=1)
    present = (squares > 0) @ np.asarray(weights, np.float32)
    lengths = np.sqrt(squares @ np.asarray(weights, np.float32) / np.where(present > 0, present, 1))
    return np.asarray(lengths[:, None], np.float32)


def named(names: Sequence[str], weights: Sequence[float]) -> dict[str, float]:
    # Two kernels of one kind are told apart by their place.
    twice = {name for name in names if names.count(name) > 1}
    labels = [f"{name} {n}" if name in twice else name for n, name in enumerate(names, 1)]
    return dict(zip(labels, weights, strict=True))
