"""Whether a picture and a text belong together, from all that a matcher knows of the pair.

A search orders the pictures for one text, and how that text is in general changes no order. One
pair by itself is another question: at the same score a text that is near to everything, or a
picture, says less, and so do many words. So cosine, lengths and words count apart here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.matchers.coefficients import Coefficients, sigmoid
from visita.matchers.usual import usual_scores
from visita.types import FloatArray, Matcher

EVEN = 0.5
"""A pair from this probability is a match: it is more likely one than not."""


class _OfPairs(Coefficients):
    """A formula of the ``match_features``, in their order; ``second`` is that of a second stage."""

    @property
    def stages(self) -> int:
        """Of a matcher that it is for: 2 where that re-ranks."""
        return 2 if "second" in self.to_dict() else 1

    def of(self, features: NDArray[np.float64]) -> FloatArray:
        """Return P(match) of each row of ``match_features``, float32 (p,)."""
        intercept, *weights = self.to_dict().values()
        return sigmoid(intercept + features @ weights)


@dataclass(frozen=True)
class MatchProbability(_OfPairs):
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


@dataclass(frozen=True)
class HeightProbability(_OfPairs):
    """P(match) of pairs as ``MatchProbability``, of the features by a picture's other texts.

    How near a picture comes to texts is otherwise with pictures that are unlike those learnt from.
    So a text counts by its height above the texts that stand for any, in units of their spread.

    Attributes
    ----------
    intercept : float
    height : float
    text_length : float
    second : float or None
        Of the re-ranker's score, where there is one.

    Raises
    ------
    ArtifactError
        If a number is not finite.
    """

    intercept: float
    height: float
    text_length: float
    second: float | None = None


def match_features(
    images: FloatArray,
    texts: FloatArray,
    words: FloatArray,
    second: FloatArray | None = None,
    others: NDArray[Any] | None = None,
) -> NDArray[np.float64]:
    """Return what is known of each pair, float64 (p, 4), or (p, 2) with ``others``.

    That is the cosine of the vectors, the logarithms of their lengths and that of the number of
    words; with ``others`` the cosine's height above the picture's with those, in standard
    deviations, and the logarithm of the text's length. The re-ranker's score is one more. A zero
    vector has the cosine 0 and counts as 1 long; no word counts as one.

    Parameters
    ----------
    images, texts : float32 (p, d)
        Vectors.
    words : float32 (p,)
        How many each text has.
    second : float32 (p,) or None
        The re-ranker's scores.
    others : float (t, d) or None
        Directions of texts that stand for any.
    """
    lengths = [np.linalg.norm(side.astype(np.float64), axis=1) for side in (images, texts)]
    image_lengths, text_lengths = (np.where(length > 0, length, 1) for length in lengths)
    products = np.einsum("pd,pd->p", images, texts, dtype=np.float64)
    cosines = products / (image_lengths * text_lengths)
    if others is None:
        columns = [cosines, np.log(image_lengths), np.log(text_lengths)]
        columns.append(np.log(np.maximum(words, 1)))
    else:
        directions = np.asarray(images / image_lengths[:, None], np.float32)
        usual = usual_scores(others.astype(np.float32), directions)
        columns = [(cosines - usual.median) / usual.spread, np.log(text_lengths)]
    return np.stack([*columns, *([] if second is None else [second])], axis=1, dtype=np.float64)


def match_scores(
    matcher: Matcher, scores: NDArray[Any], features: NDArray[np.float64]
) -> NDArray[Any]:
    """Return what the matcher's threshold is for, (p,): P(match), or scores as in a search.

    Parameters
    ----------
    scores : float (p,)
        Those of a search.
    features : float64 (p, f)
        ``match_features`` of the pairs.
    """
    probability = matcher.match_probability
    return scores if probability is None else probability.of(features)


def word_counts(texts: Sequence[str]) -> FloatArray:
    """Return how many words each text has, float32 (m,)."""
    return np.array([len(text.split()) for text in texts], np.float32)
