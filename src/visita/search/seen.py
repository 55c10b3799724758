"""What a matcher keeps of pictures, and whether one of them and a text are a match."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from visita.matchers.match_probability import EVEN, match_features
from visita.matchers.pair import Pair
from visita.search.query import Query
from visita.search.rescoring import Rescoring
from visita.types import FloatArray, Matcher, TwoStage


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
        packed = matcher.second.pack_images(columns) if isinstance(matcher, TwoStage) else None
        return cls(matcher.embed_images(columns), packed)

    def pair(self, matcher: Matcher, query: Query) -> Pair:
        """Return how well the first picture and the text of a query fit.

        Raises
        ------
        DataError
            If the matcher knows no word of the text.
        """
        image, text = self.vectors[:1], query.pooled()
        score, second = image @ text, None
        closer = Rescoring.of(query, matcher)
        if closer is not None and self.packed is not None:
            second = closer.second(self.packed[:1])
            score = closer.matcher.combine(score, second)
        if query.kind == "keywords":
            shown = matcher.probability(score, 1, keywords=text)
            if shown is not None:
                return Pair(float(score[0]), float(shown[0]), EVEN)
        probability, known = None, matcher.match_probability
        if known is not None:
            words = np.array([query.words()], np.float32)
            probability = float(known.of(match_features(image, text[None], words, second))[0])
        return Pair(float(score[0]), probability, matcher.threshold)
