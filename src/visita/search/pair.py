"""How well one picture and one text fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from visita.errors import ConfigError
from visita.matchers.pair_probability import EVEN, match_features
from visita.search.query import Query
from visita.types import FloatArray, Matcher


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture and one text.

    Attributes
    ----------
    score : float
        As in a search.
    probability : float or None
        That they belong together, where as many pairs do as do not; None if the matcher was not
        taught to tell.
    threshold : float or None
        Of the probability where there is one, else of the score: from it on they match.
    """

    score: float
    probability: float | None
    threshold: float | None

    @property
    def told_by(self) -> float:
        """What the threshold is of."""
        return self.score if self.probability is None else self.probability

    @property
    def match(self) -> bool | None:
        """Whether they match; None without a threshold."""
        return None if self.threshold is None else self.told_by >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {**asdict(self), "match": self.match}

    def __str__(self) -> str:
        """Return the verdict and the numbers."""
        score = f"score {self.score:.3f}"
        if self.threshold is None:
            return f"{score}; this matcher has no threshold"
        verdict = "match" if self.match else "no match"
        if self.probability is None:
            return f"{verdict}: {score}, threshold {self.threshold:.3f}"
        return f"{verdict}: probability {self.probability:.3f}, {score}"


def without(wanted: Pair | None, unwanted: Sequence[Pair]) -> Pair:
    """Return the pair of a picture and a text of which parts are not to be there.

    Its probability is P(wanted) times 1 - P of each unwanted; its score the wanted's or, where
    there is none, less the unwanted's.

    Raises
    ------
    ConfigError
        If a probability is not known.
    """
    if wanted is not None and not unwanted:
        return wanted
    chances = [pair.probability for pair in unwanted]
    known = [1 - chance for chance in chances if chance is not None]
    if wanted is not None and wanted.probability is not None:
        known.append(wanted.probability)
    if len(known) < len(chances) + (wanted is not None):
        raise ConfigError(
            "This matcher knows no probability that something is not in a picture: ask for what is "
            "in it, or choose another matcher, such as visita-small."
        )
    score = wanted.score if wanted is not None else -max(pair.score for pair in unwanted)
    return Pair(score, prod(known), EVEN)


@dataclass(frozen=True)
class Seen:
    """What a matcher keeps of n pictures.

    Attributes
    ----------
    vectors : float32 (n, d)
        At most 1 long.
    packed : float16 (n, …) or None
        For the second stage.
    """

    vectors: FloatArray
    packed: NDArray[np.float16] | None

    @classmethod
    def of(cls, matcher: Matcher, columns: Mapping[str, FloatArray]) -> Self:
        """Return what is kept of pictures with these columns of the matcher's recipe."""
        packed = matcher.reranker.pack_images(columns) if matcher.reranker else None
        return cls(matcher.embed_images(columns), packed)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Return several, one after the other."""
        packed = [part.packed for part in parts if part.packed is not None]
        vectors = np.concatenate([part.vectors for part in parts])
        return cls(vectors, np.concatenate(packed) if packed else None)

    def scores(self, query: Query) -> FloatArray:
        """Return the score of each picture with a text, float32 (n,); see ``Query.scores``."""
        return query.scores(self.vectors, self.packed)

    def pair(self, query: Query) -> Pair:
        """Return how well the first picture and the text of a query fit.

        Raises
        ------
        DataError
            If the matcher knows no word of the text.
        ConfigError
            If the query says what is not to be there, and the matcher knows no probability of it.
        """
        wanted = self._wanted(query) if query.texts else None
        return without(wanted, [self._wanted(part) for part in query.unwanted])

    def _wanted(self, query: Query) -> Pair:
        image, text = self.vectors[:1], query.pooled()
        score, second = image @ text, None
        if query.reranker is not None and self.packed is not None:
            second = query.rerank_scores(self.packed[:1])
            score = query.combine(score, second)
        if query.kind == "keywords":
            shown = query.probability(score, 1)
            if shown is not None:
                return Pair(float(score[0]), float(shown[0]), EVEN)
        assert query.matcher is not None  # there are texts
        probability, judge = None, query.matcher.match_probability
        if judge is not None:
            words = np.array([query.words()], np.float32)
            others = query.matcher.retriever.any_texts
            features = match_features(image, text[None], words, second, others)
            probability = float(judge.of(features)[0])
        return Pair(float(score[0]), probability, query.matcher.threshold)
