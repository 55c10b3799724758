"""How probable it is that a result is the picture asked for, by how it stands out from the rest.

A score says less than it seems to: among pictures and texts that are unlike what was learnt from,
all scores are higher, those of wrong pictures too. What carries over to them is how far a score is
above the others of the same search, in units of their spread, and how far above its best rival.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.matchers.coefficients import Coefficients, sigmoid
from visita.matchers.usual import LEAST, Usual
from visita.types import FloatArray


class Crowd(NamedTuple):
    """What the results of a search stand among, each a number or an array (q, 1) of q searches.

    Attributes
    ----------
    size : number
        How many pictures were searched.
    usual : Usual
        Of the scores of all of them, by vectors: the mean, and the standard deviation.
    best : array
        The best score.
    second : array
        The best score but one; that of one picture alone has no rival but itself.
    """

    size: Any
    usual: Usual
    best: Any
    second: Any


def usual_in_search(scores: NDArray[Any], size: Any, background: Usual) -> Usual:
    """Return mean and standard deviation of the scores of a search, (q,) each.

    The pictures that stand for any count as one more picture, so that there is a spread in a
    gallery of one.

    Parameters
    ----------
    scores : float (q, s)
        Of all pictures or of a sample; NaN does not count.
    size : number or int (q,)
        Pictures that were searched.
    background : Usual
        How the texts score pictures that stand for any, (q,) each.
    """
    own, share = np.asarray(scores, np.float64), 1 / (1 + np.asarray(size, np.float64))
    squares = background.spread**2 + background.median**2
    mean = (1 - share) * np.nanmean(own, axis=-1) + share * background.median
    square = (1 - share) * np.nanmean(own**2, axis=-1) + share * squares
    return Usual(mean, np.maximum(np.sqrt(np.maximum(square - mean**2, 0)), LEAST))


@dataclass(frozen=True)
class SearchCalibration(Coefficients):
    """P(match) = sigmoid(intercept + weights · ``standing``).

    It is the probability for a result among the first ten when half of the queries have their
    picture in the gallery.

    Attributes
    ----------
    intercept : float
    height, lead : float
        At least 0, so P never falls as the score rises.
    spread : float
    size : float

    Raises
    ------
    ArtifactError
        If a number is not finite, or ``height`` or ``lead`` is negative.
    """

    intercept: float
    height: float
    lead: float
    spread: float
    size: float

    def usable(self) -> bool:
        """Tell whether all numbers are finite, and P does not fall as the score rises."""
        return super().usable() and min(self.height, self.lead) >= 0

    def probability(self, scores: FloatArray, crowd: Crowd) -> FloatArray:
        """Return P(match) of each score, float32 of the same shape."""
        intercept, *weights = self.to_dict().values()
        return sigmoid(intercept + np.tensordot(weights, standing(scores, crowd), 1))


def standing(scores: FloatArray, crowd: Crowd) -> NDArray[np.float64]:
    """Return how scores stand out, float64 (4, …), shaped as the scores.

    That is the height above the mean in standard deviations, the lead over the best of the others
    (below 0 for all but the first), the logarithm of the deviation and that of the size.
    """
    values = np.asarray(scores, np.float64)
    mean, spread = crowd.usual
    rival = np.where(values >= crowd.best, crowd.second, crowd.best)
    columns = (values - mean) / spread, values - rival, np.log(spread), np.log(crowd.size)
    return np.stack([np.broadcast_to(column, values.shape) for column in columns])
