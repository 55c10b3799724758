"""What is searched for: one or more vectors, and how much each counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from visita.brief import Brief
from visita.errors import DataError
from visita.matchers.match_probability import word_counts
from visita.progress import bar
from visita.search.passages import agreement, pooled
from visita.types import FloatArray, Matcher, TextEncoder

Kind = Literal["text", "keywords"]
MAX_KEYWORDS = 3
AT_ONCE = 128
"""Texts that are embedded without a word; more show their progress."""


def kind_of(text: str) -> Kind:
    """Tell keywords, at most three words such as "dog beach", from a sentence."""
    return "keywords" if len(text.split()) <= MAX_KEYWORDS else "text"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Query(Brief):
    """Vectors in a matcher's space and their weights.

    Attributes
    ----------
    vectors : float32 (p, d)
        At most 1 long, p at least 1.
    weights : float32 (p,)
        How much each counts.
    texts : tuple of str
        What the vectors are of, where that is texts.
    kind : str
        What the texts are together.
    named : bool
        Whether the vectors are those that find what the words name; see ``WordMap``.

    Raises
    ------
    DataError
        If there is no vector, the shapes do not fit or a number is not finite.
    """

    vectors: FloatArray
    weights: FloatArray
    texts: tuple[str, ...] = ()
    kind: Kind = "text"
    named: bool = False

    def __post_init__(self) -> None:
        shape = self.vectors.shape
        if len(shape) != 2 or not shape[0] or self.weights.shape != shape[:1]:
            raise DataError(
                f"A query needs vectors (p, d) and weights (p,), not {shape} and "
                f"{self.weights.shape}."
            )
        if not (np.isfinite(self.vectors).all() and np.isfinite(self.weights).all()):
            raise DataError("A query's vectors and weights must be finite numbers.")

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        encoder: TextEncoder,
        matcher: Matcher,
        weights: Sequence[float] | None = None,
        *,
        kind: Kind | None = None,
    ) -> Self:
        """Return the query for one or more texts, such as the passages of a long one.

        Unless told otherwise, each counts as much as it agrees with the others, and they are
        keywords if they are few.

        Raises
        ------
        DataError
            If there is no text, or one is blank.
        """
        if not texts or not all(text.strip() for text in texts):
            raise DataError("The query is empty: describe what the picture should show.")
        vectors = _embedded(texts, encoder, matcher)
        counts = agreement(vectors) if weights is None else _weights(weights)
        kind = kind or kind_of(" ".join(texts))
        words = matcher.words if kind == "keywords" else None
        if words is not None:
            vectors = words(vectors)
        return cls(vectors, counts, tuple(texts), kind, words is not None)

    @classmethod
    def from_vectors(cls, vectors: FloatArray, weights: Sequence[float] | None = None) -> Self:
        """Return the query for vectors (p, d), such as those of pictures, equal unless told."""
        return cls(vectors, _weights([1] * len(vectors) if weights is None else weights))

    def words(self) -> float:
        """Return how many words a text has, in the mean by weight."""
        return float(self.weights @ word_counts(self.texts) / self.weights.sum())

    def pooled(self) -> FloatArray:
        """Return the weighted sum as one vector, as long as its parts on average, float32 (d,).

        Raises
        ------
        DataError
            If the vectors cancel out, or all are zero.
        """
        found = self.known()
        if not found.any():
            if not self.vectors.any():  # a topic model's answer to words it never saw
                raise DataError("The matcher knows no word of the query: use other words.")
            raise DataError("The parts of the query cancel out: change or reweight them.")
        return found

    def known(self) -> FloatArray:
        """Return what ``pooled`` does, or zero, float32 (d,), where that raises an error."""
        return pooled(self.vectors, self.weights)


def _weights(weights: Sequence[float]) -> FloatArray:
    return np.asarray(weights, np.float32)


def _embedded(texts: Sequence[str], encoder: TextEncoder, matcher: Matcher) -> FloatArray:
    if len(texts) <= AT_ONCE:
        return matcher.embed_texts(encoder.encode(texts))
    parts = []
    with bar("passages", len(texts)) as advance:
        for start in range(0, len(texts), AT_ONCE):
            some = texts[start : start + AT_ONCE]
            parts.append(matcher.embed_texts(encoder.encode(some)))
            advance(len(some))
    return np.concatenate(parts)
