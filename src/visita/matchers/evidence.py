"""What a re-ranker's score of one pair is made of: its kernels, words and cells.

The equations are those of ``visita.networks``, in numpy and for one pair, so that explaining
a result needs no torch; see *Cross-modal attention* in ``docs/mkl-visita.md``.

The vectors of a matcher as sums of one vector for each of its kernels.

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
from visita.matchers.cross_modal import CrossModalReranker
from visita.matchers.embed import JointMatcher
from visita.matchers.fused import FusedMatcher, joined_length
from visita.matchers.scaled import ScaledMatcher
from visita.matchers.weights import restored
from visita.types import FloatArray, Matcher, TextFeatures

Values = NDArray[np.float64]


FAMILIES: Mapping[str, Callable[[Values, float], Values]] = {
    "linear": lambda cosine, _: cosine,
    "polynomial": lambda cosine, degree: ((1 + cosine) / 2) ** degree,
    "rbf": lambda cosine, gamma: np.exp(-gamma * (2 - 2 * cosine)),
    "laplacian": lambda cosine, gamma: np.exp(-gamma * np.sqrt(np.maximum(2 - 2 * cosine, 1e-4))),
}
"""Those of ``visita.networks.kernels``, before their range is -1 to 1."""


@dataclass(frozen=True)
class Evidence:
    """A score taken apart in two ways; each sums to the score.

    Attributes
    ----------
    kernels : mapping
        What each kernel adds, such as ``words rbf:2``: its weight times its value.
    met : float64 (t, c)
        What each word piece and cell add together to ``unrelated``: at the levels words and
        phrases, what a piece adds, spread over the cells by its attention to them; at the level
        cells, what a cell adds, spread over the pieces by its attention.
    whole : float
        What the level whole adds to it, which no piece and no cell has alone.
    unrelated : float
        The score where every cosine is 0. Kernels are negative there, so that without it the
        cells that a word attends to would seem to speak against it.
    """

    kernels: Mapping[str, float]
    met: Values
    whole: float
    unrelated: float


def evidence(
    reranker: CrossModalReranker, picture: NDArray[np.float16], text: FloatArray
) -> Evidence:
    """Return what the score of a packed picture (1 + c, …) and text (1 + t, …) is made of."""
    parts = _unpacked(picture, text)
    sharpness = float(np.exp(reranker.tensors["log_sharpness"].astype(np.float64)))
    kernels: dict[str, float] = {}
    met, whole = np.zeros((len(parts["words"][1]), len(parts["cells"][1]))), 0.0
    unrelated = 0.0
    for level in reranker.network["levels"]:
        asking, shares = parts["sentence" if level == "whole" else level]
        asked = parts[{"cells": "words", "whole": "picture"}.get(level, "cells")]
        if level == "whole":
            cosines, attention = (asking * asked[0]).sum(axis=1), None
        else:
            cosines, attention = _answered(asking, asked, sharpness)
        added = np.zeros(len(shares))
        for name in reranker.network["kernels"]:
            weights = reranker.kernel_weights[f"{level} {name}"] * shares
            values, none = weights * _kernel(name, cosines), weights * _kernel(name, np.zeros(1))
            kernels[f"{level} {name}"] = float(values.sum())
            unrelated += float(none.sum())
            added += values - none
        if attention is None:
            whole = float(added.sum())
        else:
            spread = added[:, None] * attention
            met += spread.T if level == "cells" else spread
    return Evidence(kernels, met, whole, unrelated)


def _unpacked(picture: NDArray[Any], text: NDArray[Any]) -> dict[str, tuple[Values, Values]]:
    """Return vectors (p, e) and shares (p,) of each kind of part."""
    seen, read = picture.astype(np.float64), text.astype(np.float64)
    words, phrases = np.split(read, 2, axis=1)
    rows = {
        "picture": seen[:1],
        "cells": seen[1:],
        "sentence": words[:1],
        "words": words[1:],
        "phrases": phrases[1:],
    }
    return {name: (some[:, :-1], some[:, -1]) for name, some in rows.items()}


def _answered(
    asking: Values, asked: tuple[Values, Values], sharpness: float
) -> tuple[Values, Values]:
    """Return how well each part is answered, (p,), and its attention to what it asks, (p, r)."""
    vectors, shares = asked
    cosines = asking @ vectors.T
    logits = np.where(shares > 0, sharpness * cosines, -np.inf)
    attention = np.exp(logits - logits.max(axis=1, keepdims=True))
    attention /= attention.sum(axis=1, keepdims=True)
    found = attention @ vectors
    lengths = np.sqrt(np.maximum((found**2).sum(axis=1), 1e-6))
    return (attention * cosines).sum(axis=1) / lengths, attention


def _kernel(name: str, cosines: Values) -> Values:
    family, _, number = name.partition(":")
    parameter = float(number or 1)
    lowest, highest = FAMILIES[family](np.array([-1.0, 1.0]), parameter)
    values = FAMILIES[family](cosines, parameter)
    return np.asarray(2 * (values - lowest) / (highest - lowest) - 1, np.float64)


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
