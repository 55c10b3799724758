"""How scores usually are, which tells what one of them is worth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.types import FloatArray

LEAST = 1e-6
"""Scores that vary less do not vary."""


class Usual(NamedTuple):
    """How a text or a picture usually scores, each a number or an array (m,)."""

    median: NDArray[np.float64]
    spread: NDArray[np.float64]


NOT_KNOWN = Usual(*np.array([0.0, 1.0]))
"""Without pictures that stand for any, a score is taken as it is."""


def usual_scores(background: FloatArray | None, texts: FloatArray) -> Usual:
    """Return how texts, float32 (d,) or (m, d), score the pictures that stand for any, (b, d)."""
    if background is None:
        return NOT_KNOWN
    scores = np.asarray(texts @ background.T, np.float64)
    return Usual(np.median(scores, axis=-1), np.maximum(scores.std(axis=-1), LEAST))
