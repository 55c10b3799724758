"""The numbers of a fitted formula, as a manifest keeps them: by name.

Whether a picture shows what one to three words name, however many others are searched.

Words differ in how near they come to pictures: "dog" is either far or near, "park" never quite
either. So a score also counts by how the word scores pictures that stand for any: how far it is
above their median, in units of their spread. The wider the word's scores are, the better it tells
pictures apart.

Whether a picture and a text belong together, from all that a matcher knows of the pair.

A search orders the pictures for one text, and how that text is in general changes no order. One
pair by itself is another question: at the same score a text that is near to everything, or a
picture, says less, and so do many words. So cosine, lengths and words count apart here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from visita.errors import ArtifactError, DataError
from visita.types import FloatArray, Matcher

LARGEST = 1e9
"""In a fitted formula a number beyond it says that nothing was fitted."""


@dataclass(frozen=True)
class Coefficients:
    """Numbers by name, as a manifest has them. One whose default is None may be missing.

    Raises
    ------
    ArtifactError
        If they are not ``usable``.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __post_init__(self) -> None:
        if not self.usable():
            raise ArtifactError(f"{self} is not usable; fit it again.")

    def usable(self) -> bool:
        """Tell whether no number is as large as to overflow, or not finite."""
        return all(abs(value) < LARGEST for value in self.to_dict().values())

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def sigmoid(log_odds: NDArray[Any]) -> NDArray[np.float32]:
    """Return the probabilities of log-odds, float32 of the same shape; none overflows."""
    probabilities: NDArray[np.float32] = np.exp(-np.logaddexp(0, -log_odds)).astype(np.float32)
    return probabilities


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
    values = np.asarray(scores, np.float64)
    height = (values - usual.median) / usual.spread
    return np.stack([values, height, np.broadcast_to(np.log(usual.spread), values.shape)])


def usual_scores(background: FloatArray | None, texts: FloatArray) -> Usual:
    """Return how texts, float32 (d,) or (m, d), score the pictures that stand for any, (b, d)."""
    if background is None:
        return NOT_KNOWN
    scores = np.asarray(texts @ background.T, np.float64)
    return Usual(np.median(scores, axis=-1), np.maximum(scores.std(axis=-1), LEAST))


EVEN = 0.5
"""A pair from this probability is a match: it is more likely one than not."""


@dataclass(frozen=True)
class MatchProbability(Coefficients):
    """P(match) = sigmoid(intercept + weights · ``match_features``), where half of the pairs are.

    The weights are called as the features are; ``second`` is None where there is no second
    stage. The pairs that are no match are a picture and a caption of another one.

    Raises
    ------
    ArtifactError
        If a number is not finite.
    """

    intercept: float
    cosine: float
    image_length: float
    text_length: float
    words: float
    second: float | None = None

    @property
    def stages(self) -> int:
        """Of a matcher that it is for: 2 where that re-ranks."""
        return 1 if self.second is None else 2

    def of(self, features: NDArray[np.float64]) -> FloatArray:
        """Return P(match) of each row of ``match_features``, float32 (p,)."""
        intercept, *weights = self.to_dict().values()
        return sigmoid(intercept + features @ weights)


def match_features(
    images: FloatArray, texts: FloatArray, words: FloatArray, second: FloatArray | None = None
) -> NDArray[np.float64]:
    """Return what is known of each pair, float64 (p, 4), or (p, 5) with a re-ranker.

    That is the cosine of the vectors, the logarithms of their lengths, that of the number of
    words, and the re-ranker's score. A zero vector has the cosine 0 and counts as 1 long; no
    word counts as one.

    Parameters
    ----------
    images, texts : float32 (p, d)
        Vectors.
    words : float32 (p,)
        How many each text has.
    second : float32 (p,) or None
        The re-ranker's scores.
    """
    lengths = [np.linalg.norm(side.astype(np.float64), axis=1) for side in (images, texts)]
    image_lengths, text_lengths = (np.where(length > 0, length, 1) for length in lengths)
    products = np.einsum("pd,pd->p", images, texts, dtype=np.float64)
    columns = [
        products / (image_lengths * text_lengths),
        np.log(image_lengths),
        np.log(text_lengths),
        np.log(np.maximum(words, 1)),
    ]
    return np.stack([*columns, *([] if second is None else [second])], axis=1, dtype=np.float64)


def match_scores(
    matcher: Matcher, scores: NDArray[Any], features: NDArray[np.float64]
) -> NDArray[Any]:
    """Return what the matcher's threshold is for, (p,): P(match), or scores as in a search.

    Parameters
    ----------
    scores : float (p,)
        Those of a search.
    features : float64 (p, 4) or (p, 5)
        ``match_features`` of the pairs.
    """
    probability = matcher.match_probability
    return scores if probability is None else probability.of(features)


def word_counts(texts: Sequence[str]) -> FloatArray:
    """Return how many words each text has, float32 (m,)."""
    return np.array([len(text.split()) for text in texts], np.float32)


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
    match_probability : MatchProbability or None
        Of a pair by itself.
    """

    name: str
    threshold: float | None = None
    calibration: Calibration | None = None
    keyword_calibration: KeywordCalibration | None = None
    match_probability: MatchProbability | None = None

    @property
    def background(self) -> FloatArray | None:
        """Vectors of pictures that stand for any, float32 (b, dim); None if there are none."""
        return None

    def __repr__(self) -> str:
        """Return the kind of matcher and its name."""
        return f"{type(self).__name__}({self.name!r})"

    def probability(
        self, scores: FloatArray, gallery_size: int, *, keywords: FloatArray | None = None
    ) -> FloatArray | None:
        """Return P(match | score, gallery size) for each score, or None if never calibrated.

        ``keywords`` is the vector (d,) of one to three words, by ``words`` where there is that, or
        of one text a score, (m, d): then it is the probability that a picture shows them,
        whatever the gallery. Where that was not
        fitted, what visita-small has stands in, or the probability of sentences where there is
        nothing to measure a score by.
        """
        if keywords is not None and (own := self._of_keywords()):
            return own.probability(scores, usual_scores(self.background, keywords))
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
            "shows": _numbers(self.keyword_calibration),
            "match_probability": _numbers(self.match_probability),
        }


def _numbers(fitted: Coefficients | None) -> dict[str, float] | None:
    return fitted.to_dict() if fitted else None
