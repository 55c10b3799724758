"""Whether a picture shows what one to three words name, however many others are searched.

Words differ in how near they come to pictures: "dog" is either far or near, "park" never quite
either. So a score also counts by how the word scores pictures that stand for any: how far it is
above their median, in units of their spread. The wider the word's scores are, the better it tells
pictures apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.matchers.coefficients import Coefficients, sigmoid
from visita.types import FloatArray

LEAST = 1e-6
"""Scores that vary less do not vary."""


class Usual(NamedTuple):
    """How a text usually scores, each a number or an array (m,): see this file's top."""

    median: NDArray[np.float64]
    spread: NDArray[np.float64]


NOT_KNOWN = Usual(*np.array([0.0, 1.0]))
"""Without pictures that stand for any, a score is taken as it is."""


@dataclass(frozen=True)
class KeywordCalibration(Coefficients):
    """P(shows) = sigmoid(intercept + weights · ``keyword_features``).

    Attributes
    ----------
    intercept : float
    score, height : float
        At least 0, so P never falls as the score rises.
    spread : float

    Raises
    ------
    ArtifactError
        If a number is not finite, or ``score`` or ``height`` is negative.
    """

    intercept: float
    score: float
    height: float
    spread: float

    def usable(self) -> bool:
        """Tell whether all numbers are finite, and P does not fall as the score rises."""
        return super().usable() and self.score >= 0 and self.height >= 0

    def probability(self, scores: FloatArray, usual: Usual) -> FloatArray:
        """Return P(shows) for each score, float32 of the same shape."""
        intercept, *weights = self.to_dict().values()
        return sigmoid(intercept + np.tensordot(weights, keyword_features(scores, usual), 1))


def keyword_features(scores: FloatArray, usual: Usual) -> NDArray[np.float64]:
    """Return what P(shows) is of, float64 (3, …), shaped as the scores.

    That is the score, how many standard deviations it is above the median, and the logarithm
    of that deviation.
    """
    found = np.asarray(scores, np.float64)
    height = (found - usual.median) / usual.spread
    return np.stack([found, height, np.broadcast_to(np.log(usual.spread), found.shape)])


def usual_scores(background: FloatArray | None, texts: FloatArray) -> Usual:
    """Return how texts, float32 (d,) or (m, d), score the pictures that stand for any, (b, d)."""
    if background is None:
        return NOT_KNOWN
    scores = np.asarray(texts @ background.T, np.float64)
    return Usual(np.median(scores, axis=-1), np.maximum(scores.std(axis=-1), LEAST))
