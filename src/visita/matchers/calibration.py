"""From scores to probabilities, for a gallery of a given size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.matchers.coefficients import Coefficients, sigmoid
from visita.types import FloatArray


@dataclass(frozen=True)
class Calibration(Coefficients):
    """P(match | score, gallery size) = sigmoid(intercept - w_s (1 - score)³ + w_n ln N).

    1 - score is half the squared distance of two unit vectors. Its cube fits better
    than the score itself, at no further parameter: the log-odds rise a little more
    slowly among good scores than among bad ones. Beyond the sizes it was fitted on,
    P is extrapolated in ln N. It is the probability for a result among the first ten
    when half of the queries have their picture in the gallery.

    Attributes
    ----------
    intercept : float
    score_weight : float
        w_s ≥ 0, so P never falls as the score rises (scores above 1 count as 1).
    size_weight : float
        w_n, below 0 where more pictures mean more that merely look right.

    Raises
    ------
    ArtifactError
        If a number is not finite or ``score_weight`` is negative.
    """

    intercept: float
    score_weight: float
    size_weight: float

    def usable(self) -> bool:
        """Tell whether no number is too large, and P does not fall as the score rises."""
        return super().usable() and self.score_weight >= 0

    def probability(self, scores: FloatArray, gallery_size: int) -> FloatArray:
        """Return P(match) for each score, float32 of the same shape.

        Raises
        ------
        DataError
            If the gallery is empty.
        """
        if gallery_size < 1:
            raise DataError("A probability needs a gallery of at least one picture.")
        log_odds = (
            self.intercept
            + self.score_weight * score_feature(scores)
            + self.size_weight * math.log(gallery_size)
        )
        return sigmoid(log_odds)


def score_feature(scores: FloatArray) -> NDArray[np.float64]:
    """Return -(1 - score)³, which rises with the score up to 1 and stays there."""
    return np.asarray(-(np.maximum(1 - np.asarray(scores, np.float64), 0) ** 3))
