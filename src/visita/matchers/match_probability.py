"""Whether a picture and a text belong together, from all that two stages know of the pair.

A search orders the pictures for one text, and how that text is in general changes no order. One
pair by itself is another question: a text that is near to everything, or a picture, says less at
the same score, and so do few words. So cosine, lengths and words count apart here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from visita.errors import ArtifactError
from visita.types import FloatArray

EVEN = 0.5
"""A pair from this probability is a match: it is more likely one than not."""


@dataclass(frozen=True, slots=True)
class MatchProbability:
    """P(match) = sigmoid(intercept + weights · ``match_features``), where half of the pairs are.

    The weights are called as the features are. The pairs that are no match are a picture and a
    caption of another one.

    Raises
    ------
    ArtifactError
        If a number is not finite.
    """

    intercept: float
    second: float
    cosine: float
    image_length: float
    text_length: float
    words: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, asdict(self).values())):
            raise ArtifactError(f"{self} is not usable; fit it again.")

    def of(self, features: NDArray[np.float64]) -> FloatArray:
        """Return P(match) of each row of ``match_features`` (p, 5), float32 (p,)."""
        intercept, *weights = asdict(self).values()
        return np.asarray(np.exp(-np.logaddexp(0, -(intercept + features @ weights))), np.float32)

    def to_dict(self) -> dict[str, float]:
        """Return the six numbers by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> MatchProbability:
        """Return what ``to_dict`` wrote.

        Raises
        ------
        ArtifactError
            If a number is missing, unknown or not finite.
        """
        expected = [field.name for field in fields(cls)]
        if set(values) != set(expected):
            raise ArtifactError(
                f"A match probability holds {', '.join(expected)}, not "
                f"{', '.join(values) or 'nothing'}; fit it again."
            )
        return cls(**{name: float(value) for name, value in values.items()})


def match_features(
    images: FloatArray, texts: FloatArray, second: FloatArray, words: FloatArray
) -> NDArray[np.float64]:
    """Return what is known of each pair, float64 (p, 5).

    That is the second stage's score, the cosine of the first stage's vectors, the logarithms of
    their lengths, and that of the number of words. A zero vector has the cosine 0 and counts as
    1 long; no word counts as one.

    Parameters
    ----------
    images, texts : float32 (p, d)
        The first stage's vectors.
    second, words : float32 (p,)
        The second stage's scores, and how many words each text has.
    """
    lengths = [np.linalg.norm(side.astype(np.float64), axis=1) for side in (images, texts)]
    image_lengths, text_lengths = (np.where(length > 0, length, 1) for length in lengths)
    products = np.einsum("pd,pd->p", images, texts, dtype=np.float64)
    return np.stack(
        [
            second.astype(np.float64),
            products / (image_lengths * text_lengths),
            np.log(image_lengths),
            np.log(text_lengths),
            np.log(np.maximum(words, 1)),
        ],
        axis=1,
    )
