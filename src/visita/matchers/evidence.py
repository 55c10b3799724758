"""What a re-ranker's score of one pair is made of: its kernels, words and cells.

The equations are those of ``visita.networks``, in numpy and for one pair, so that explaining
a result needs no torch; see *Cross-modal attention* in ``docs/mkl-visita.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.matchers.cross_modal import CrossModalReranker
from visita.types import FloatArray

Values = NDArray[np.float64]
FAMILIES: Mapping[str, Callable[[Values, float], Values]] = {
    "linear": lambda cosine, _: cosine,
    "polynomial": lambda cosine, degree: ((1 + cosine) / 2) ** degree,
    "rbf": lambda cosine, gamma: np.exp(-gamma * (2 - 2 * cosine)),
    "laplacian": lambda cosine, gamma: np.exp(-gamma * np.sqrt(np.maximum(2 - 2 * cosine, 1e-4))),
}
"""Those of ``visita.networks.kernel_functions``, before their range is -1 to 1."""


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
    image_rows, text_rows = picture.astype(np.float64), text.astype(np.float64)
    words, phrases = np.split(text_rows, 2, axis=1)
    rows = {
        "picture": image_rows[:1],
        "cells": image_rows[1:],
        "sentence": words[:1],
        "words": words[1:],
        "phrases": phrases[1:],
    }
    return {name: (packed[:, :-1], packed[:, -1]) for name, packed in rows.items()}


def _answered(
    asking: Values, asked: tuple[Values, Values], sharpness: float
) -> tuple[Values, Values]:
    """Return how well each part is answered, (p,), and its attention to what it asks, (p, r)."""
    vectors, shares = asked
    cosines = asking @ vectors.T
    logits = np.where(shares > 0, sharpness * cosines, -np.inf)
    attention = np.exp(logits - logits.max(axis=1, keepdims=True))
    attention /= attention.sum(axis=1, keepdims=True)
    answers = attention @ vectors
    lengths = np.sqrt(np.maximum((answers**2).sum(axis=1), 1e-6))
    return (attention * cosines).sum(axis=1) / lengths, attention


def _kernel(name: str, cosines: Values) -> Values:
    family, _, number = name.partition(":")
    parameter = float(number or 1)
    lowest, highest = FAMILIES[family](np.array([-1.0, 1.0]), parameter)
    values = FAMILIES[family](cosines, parameter)
    return np.asarray(2 * (values - lowest) / (highest - lowest) - 1, np.float64)
