"""The vectors of a matcher as sums of one vector for each of its kernels.

A matcher that joins kernels scores <Σ_k x_k, Σ_k y_k>, x_k and y_k the shares of kernel k in
the vectors of a picture and of a text. Where the joined vector was not shortened, those of
different kernels are orthogonal, and the score is Σ_k <x_k, y_k>.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.encoders.engine import cached_runner, cores
from visita.encoders.joined_text import JoinedText
from visita.matchers.fused import FusedMatcher, joined_length
from visita.matchers.joint import JointMatcher
from visita.matchers.rounding import restored
from visita.matchers.scaled import ScaledMatcher
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


def split(matcher: Matcher) -> Split:
    """Return the kernels of a matcher; one that joins none is its own only one."""
    if isinstance(matcher, JointMatcher):
        return _joint(matcher)
    if isinstance(matcher, FusedMatcher):
        return _fused(matcher)
    if isinstance(matcher, ScaledMatcher):
        return _scaled(matcher)
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


def _joint(matcher: JointMatcher) -> Split:
    parts = matcher.space["parts"]
    weights = [float(part["weight"]) for part in parts]
    basis = restored(matcher.tensors)["basis"]
    views = len(matcher.recipe.views())
    shapes = {
        "image": (-1, views, matcher.space["image_features"]),
        "text": (-1, matcher.space["text_features"]),
    }

    def vectors(side: str, features: FloatArray) -> FloatArray:
        example = np.random.default_rng(0).random((2, *shapes[side][1:]), dtype=np.float32)
        runner = cached_runner(
            f"{matcher.name}-{side}-parts",
            {"matcher": matcher.fingerprint(), "side": side, "parts": True},
            partial(_part_vectors, matcher, side),
            lambda: [example],
            [shapes[side]],
            streams=cores(),
        )
        return _placed(runner(features), weights, basis if len(basis) else None)

    return Split(
        _named([part["network"] for part in parts], weights),
        lambda columns: vectors("image", matcher.stack(columns)),
        lambda texts: vectors("text", texts.pooled()),
    )


def _part_vectors(matcher: JointMatcher, side: Any) -> Any:
    from visita.networks.fusion import PartVectors  # noqa: PLC0415 - first export only

    return PartVectors(matcher.network(), side).eval()


def _fused(matcher: FusedMatcher) -> Split:
    joined = matcher.open_text_encoder()
    assert isinstance(joined, JoinedText)

    def images(columns: Mapping[str, FloatArray]) -> FloatArray:
        vectors = [part.embed_images(columns) for part in matcher.parts]
        return _placed(vectors, matcher.weights, matcher.basis)

    def texts(features: TextFeatures) -> FloatArray:
        vectors = [
            part.embed_texts(joined.select(features, part.open_text_encoder()))
            for part in matcher.parts
        ]
        return _placed(vectors, matcher.weights, matcher.basis)

    return Split(_named([part.name for part in matcher.parts], matcher.weights), images, texts)


def _scaled(matcher: ScaledMatcher) -> Split:
    own = split(matcher.part)

    def images(columns: Mapping[str, FloatArray]) -> FloatArray:
        shares = own.images(columns)
        return shares * matcher.image_lengths(shares.sum(axis=1))[:, None]

    def texts(features: TextFeatures) -> FloatArray:
        shares = own.texts(features)
        return shares * matcher.text_lengths(shares.sum(axis=1))[:, None]

    return Split(own.kernels, images, texts)


def _placed(
    vectors: Sequence[FloatArray], weights: Sequence[float], basis: NDArray[Any] | None
) -> FloatArray:
    """Return each part's share of the joined vectors, float32 (n, parts, dim)."""
    widths = [one.shape[1] for one in vectors]
    rows = np.eye(sum(widths), dtype=np.float32) if basis is None else basis.astype(np.float32)
    places = np.split(rows, np.cumsum(widths)[:-1])
    shares = np.stack(
        [np.sqrt(w) * (v @ p) for v, w, p in zip(vectors, weights, places, strict=True)], axis=1
    )
    lengths = np.linalg.norm(shares.sum(axis=1), axis=1)[:, None, None]
    wanted = joined_length(vectors, weights)[:, None]
    return np.asarray(shares / np.where(lengths > 0, lengths, 1) * wanted, np.float32)


def _named(names: Sequence[str], weights: Sequence[float]) -> dict[str, float]:
    # Two kernels of one kind are told apart by their place.
    twice = {name for name in names if names.count(name) > 1}
    told = [f"{name} {n}" if name in twice else name for n, name in enumerate(names, 1)]
    return dict(zip(told, weights, strict=True))
