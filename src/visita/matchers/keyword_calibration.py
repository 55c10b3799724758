"""Whether a picture shows what one to three words name, however many others are searched.

Words differ in how near they come to pictures: "dog" is either far or near, "park" never quite
either. So a score is measured by how the word scores pictures that stand for any: how far it is
above their median, in units of how far the lowest twentieth lies below it, where hardly any shows
what the word names. The wider the word's scores are, the better it tells pictures apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.matchers.coefficients import Coefficients, sigmoid
from visita.types import FloatArray

LOWEST = 0.05
LEAST = 1e-6
"""Scores that vary less do not vary."""


class Usual(NamedTuple):
    """How a text usually scores, each a number or an array (m,): see this file's top."""

    median: NDArray[np.float64]
    below: NDArray[np.float64]
    spread: NDArray[np.float64]


NOT_KNOWN = Usual(*np.array([0.0, 1.0, 1.0]))
"""Without pictures that stand for any, a score is taken as it is."""


@dataclass(frozen=True)
class KeywordCalibration(Coefficients):
    """P(shows) = sigmoid(intercept + height * (score - median) / below + spread * ln spread).

    Attributes
    ----------
    intercept : float
    height : float
        At least 0, so P never falls as the score rises.
    spread : float
        The spread is the standard deviation.

    Raises
    ------
    ArtifactError
        If a number is not finite or ``height`` is negative.
    """

    intercept: float
    height: float
    spread: float

    def usable(self) -> bool:
        """Tell whether all numbers are finite, and P does not fall as the score rises."""
        return super().usable() and self.height >= 0

    def probability(self, scores: FloatArray, usual: Usual) -> FloatArray:
        """Return P(shows) for each score, float32 of the same shape."""
        height, spread = keyword_features(scores, usual)
        return sigmoid(self.intercept + self.height * height + self.spread * spread)


def keyword_features(scores: FloatArray, usual: Usual) -> NDArray[np.float64]:
    """Return height and logarithm of the spread, float64 (2, …), shaped as the scores."""
    height = (np.asarray(scores, np.float64) - usual.median) / usual.below
    return np.stack([height, np.broadcast_to(np.log(usual.spread), height.shape)])


def usual_scores(background: FloatArray | None, texts: FloatArray) -> Usual:
    """Return how texts, float32 (d,) or (m, d), score the pictures that stand for any, (b, d)."""
    if background is None:
        return NOT_KNOWN
    scores = np.asarray(texts @ background.T, np.float64)
    low, median = np.quantile(scores, [LOWEST, 0.5], axis=-1)
    return Usual(median, np.maximum(median - low, LEAST), np.maximum(scores.std(axis=-1), LEAST))
