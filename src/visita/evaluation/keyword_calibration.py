"""Fitting P(shows) of single words on captions, which leave out much of what a picture shows.

A noun that one caption of five has is shown, and the others left it out. How many pictures show
it and have it in no caption follows from how many have it in just one and in two (Chao's
estimator: A. Chao, Biometrics 1987; a lower bound). The pictures with one stand in for those.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.evaluation.blocks import check_scores
from visita.evaluation.logistic import logistic
from visita.matchers.keyword_calibration import KeywordCalibration, Usual, keyword_features
from visita.types import FloatArray

LEAST_WORDS = 20
PIVOT = 0.1
"""The probability that stays where it is when one half is put where it is asked for."""
BETWEEN = (0.2, 0.8)
SCORE, HEIGHT, SPREAD = range(3)
"""Columns of ``keyword_features``."""
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Words:
    """Nouns, and what is known of each and n pictures.

    Attributes
    ----------
    nouns : tuple of str
    scores : float32 (words, n)
    usual : Usual
        Of the nouns, (words, 1) each.
    held : int64 (words, n)
        How many of a picture's captions have a noun.
    named : bool
        Whether the scores are estimates of ``held``, by a ``WordMap``.
    """

    nouns: tuple[str, ...]
    scores: FloatArray
    usual: Usual
    held: Counts
    named: bool = False

    def part(self, nouns: NDArray[np.bool_], images: NDArray[np.bool_]) -> Words:
        """Return some of the nouns with some of the pictures."""
        place = np.ix_(nouns, images)
        usual = Usual(*(one[nouns] for one in self.usual))
        names = tuple(np.array(self.nouns)[nouns].tolist())
        return Words(names, self.scores[place], usual, self.held[place], self.named)


def fit_keyword_calibration(words: Words) -> KeywordCalibration:
    """Fit P(shows) by logistic regression, on a split that was not trained on.

    As much is unsaid, the log-odds are then turned about ``PIVOT`` so that at one half precision
    and recall meet: who asks for one half finds as large a part of what is shown as of what is
    found is right.

    Raises
    ------
    DataError
        If there are fewer than ``LEAST_WORDS`` words, or a score is not finite.
    """
    if len(words.nouns) < LEAST_WORDS:
        raise DataError(f"Single words are calibrated on {LEAST_WORDS} words or more.")
    check_scores(words.scores)
    features = keyword_features(words.scores, words.usual).reshape(3, -1).T
    labels, weights = (words.held > 0).ravel(), shown_weights(words.held).ravel()
    told = [SCORE, HEIGHT] if words.named else [HEIGHT]
    found = _fitted(features, told, labels, weights)
    while falling := [column for column in told if found[1 + column] < 0]:
        told.remove(falling[0])  # worse than chance: it tells nothing
        found = _fitted(features, told, labels, weights)
    fitted = KeywordCalibration(*found)
    even = _meeting(fitted.probability(words.scores, words.usual), words.held)
    slope = _odds(PIVOT) / (_odds(PIVOT) - _odds(even))
    numbers = found * slope
    numbers[0] -= slope * _odds(even)
    return KeywordCalibration(*numbers.tolist())


def _fitted(
    features: NDArray[np.float64],
    told: Sequence[int],
    labels: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return intercept and weights; that of a column which is not ``told`` is 0."""
    columns = [*told, SPREAD]
    intercept, *some = logistic(features[:, columns], labels, weights)
    found = np.zeros(1 + features.shape[1])
    found[0], found[1 + np.array(columns)] = intercept, some
    return found


def _meeting(said: FloatArray, held: Counts) -> float:
    """Return the probability, within ``BETWEEN``, from which precision and recall are equal.

    To be found is what two captions of a picture have, and right is what one has.
    """
    order = np.argsort(-said, axis=None, kind="stable")
    sure = (held >= min(2, held.max())).ravel()[order]
    right = (held > 0).ravel()[order]
    count = np.arange(1, len(order) + 1)
    place = np.abs(np.cumsum(sure) / sure.sum() - np.cumsum(right) / count).argmin()
    return float(np.clip(said.ravel()[order[place]], *BETWEEN))


def _odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def shown_weights(held: Counts) -> NDArray[np.float64]:
    """Return how much each word and picture counts, float64 (words, n).

    A picture with the word in one caption counts for those that show it unsaid, too, and a picture
    without the word as much less.
    """
    none, once, twice = ((held == times).sum(axis=1, keepdims=True) for times in (0, 1, 2))
    unsaid = np.minimum(once * (once - 1) / (2 * (twice + 1)), none / 2)
    of_once = 1 + unsaid / np.maximum(once, 1)
    of_none = 1 - unsaid / np.maximum(none, 1)
    return np.asarray(np.select([held == 0, held == 1], [of_none, of_once], 1.0), np.float64)
