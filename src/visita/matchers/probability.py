"""What a matcher says of its scores: sentences in a search, words, and pairs by themselves.

Whether a picture shows what one to three words name, however many others are searched.

Words differ in how near they come to pictures: "dog" is either far or near, "park" never quite
either. So a score also counts by how the word scores pictures that stand for any: how far it is
above their median, in units of their spread. The wider the word's scores are, the better it tells
pictures apart.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.matchers.coefficients import Coefficients, sigmoid
from visita.matchers.pair_probability import HeightProbability, MatchProbability
from visita.matchers.standing_out import Crowd, SearchCalibration
from visita.matchers.usual import Usual, usual_scores
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
    values = np.asarray(scores, np.float64)
    height = (values - usual.median) / usual.spread
    return np.stack([values, height, np.broadcast_to(np.log(usual.spread), values.shape)])


STANDARD = KeywordCalibration(intercept=11.8, score=0.0, height=1.63, spread=5.3)
"""Those of visita-small without its map of words: what a word usually scores is measured, so they
fit others too."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Calibrated:
    """A ``Judge``.

    Attributes
    ----------
    threshold : float or None
        From this score a pair is a match, or from this P(match), where there is that.
    calibration : Calibration or None
        Of sentences in a search.
    keyword_calibration : KeywordCalibration or None
        Of one to three words.
    search_calibration : SearchCalibration or None
        Of sentences in a search, where what they are searched among is known.
    match_probability : HeightProbability, MatchProbability or None
        Of a pair by itself.
    """

    name: str
    threshold: float | None = None
    calibration: Calibration | None = None
    keyword_calibration: KeywordCalibration | None = None
    search_calibration: SearchCalibration | None = None
    match_probability: HeightProbability | MatchProbability | None = None

    @property
    def background(self) -> FloatArray | None:
        """Vectors of pictures that stand for any, float32 (b, dim); None if there are none."""
        return None

    def __repr__(self) -> str:
        """Return the kind of matcher and its name."""
        return f"{type(self).__name__}({self.name!r})"

    def probability(
        self,
        scores: FloatArray,
        gallery_size: int,
        *,
        keywords: FloatArray | None = None,
        crowd: Crowd | None = None,
    ) -> FloatArray | None:
        """Return P(match | score, gallery size) for each score, or None if never calibrated.

        With ``crowd``, what the results of a search stand among, it is by that where that was
        fitted; matchers saved before have the score and the gallery size alone.

        ``keywords`` is the vector (d,) of one to three words, by ``words`` where there is that, or
        of one text a score, (m, d): then it is the probability that a picture shows them,
        whatever the gallery. Where that was not
        fitted, what visita-small has stands in, or the probability of sentences where there is
        nothing to measure a score by.
        """
        if keywords is not None and (own := self._of_keywords()):
            return own.probability(scores, usual_scores(self.background, keywords))
        if self.search_calibration is not None and crowd is not None:
            return self.search_calibration.probability(scores, crowd)
        fitted = self.calibration
        return None if fitted is None else fitted.probability(scores, gallery_size)

    def _of_keywords(self) -> KeywordCalibration | None:
        stand_in = STANDARD if self.calibration and self.background is not None else None
        return self.keyword_calibration or stand_in

    def calibrated(self) -> dict[str, Any]:
        """Return the fields as JSON values, for a manifest."""
        return {
            "name": self.name,
            "threshold": self.threshold,
            "calibration": _numbers(self.calibration),
            "standing_out": _numbers(self.search_calibration),
            "shows": _numbers(self.keyword_calibration),
            "match_probability": _numbers(self.match_probability),
        }


def _numbers(fitted: Coefficients | None) -> dict[str, float] | None:
    return fitted.to_dict() if fitted else None
