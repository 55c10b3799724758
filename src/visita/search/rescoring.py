"""The second stage of a search: the first stage's best are looked at again, part by part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from visita.search.hits import Hit, in_order
from visita.search.query import Query
from visita.types import FloatArray, Matcher, TwoStage

PASSAGES = 8
"""Of a longer query only the passages that weigh most are looked at; its vector has them all."""


@dataclass(frozen=True, eq=False)
class Rescoring:
    """A query made ready for the second stage of a matcher; see ``of``.

    Attributes
    ----------
    matcher : TwoStage
    passages : list of float32 (parts, …)
        Packed.
    weights : float32 (p,)
        How much each counts; they sum to 1.
    """

    matcher: TwoStage
    passages: list[FloatArray]
    weights: FloatArray

    @classmethod
    def of(cls, query: Query, matcher: Matcher) -> Self | None:
        """Return what a matcher looks at again for a query.

        None if that is nothing: the query has no text, or words whose pictures are known by
        their vectors, or the matcher has no second stage.
        """
        if not query.texts or query.named or not isinstance(matcher, TwoStage):
            return None
        heaviest = np.argsort(-query.weights, kind="stable")[:PASSAGES]
        packed = matcher.second.pack_texts([query.texts[row] for row in heaviest])
        weights = query.weights[heaviest]
        return cls(matcher, packed, weights / weights.sum())

    @property
    def depth(self) -> int:
        """How many of the first stage's best are looked at."""
        return self.matcher.depth

    def second(self, pictures: NDArray[np.float16]) -> FloatArray:
        """Return the second stage's score of packed pictures, float32 (n,).

        It is the mean over the passages, by weight.
        """
        scores = [self.matcher.second.scores(pictures, passage) for passage in self.passages]
        return np.asarray(self.weights @ np.stack(scores), np.float32)

    def scores(self, first: FloatArray, pictures: NDArray[np.float16]) -> FloatArray:
        """Return the score of both stages, float32 (n,), the first's being ``first`` (n,)."""
        return self.matcher.combine(first, self.second(pictures))

    def reordered(self, hits: Sequence[Hit], depth: int) -> list[Hit]:
        """Return hits of the first stage, best first, with the scores of both stages.

        The first ``depth`` come in the order of both, the others after them as they were.
        Those are taken to do as badly in the second stage as the worst that it looked at:
        so all scores are of one kind, and none of theirs is above one that was looked at.
        """
        if not hits:
            return []
        near = hits[:depth]
        second = self.second(np.stack([hit.snapshot.packed(hit.row) for hit in near]))
        rest = np.full(len(hits) - len(near), second.min())
        first = np.array([hit.score for hit in hits], np.float32)
        both = self.matcher.combine(first, np.concatenate([second, rest])).tolist()
        scored = [hit._replace(score=score) for hit, score in zip(hits, both, strict=True)]
        return in_order(scored[:depth]) + scored[depth:]
