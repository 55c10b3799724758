"""The best pictures for a query, over one or more galleries."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from visita.arguments import number, whole
from visita.errors import ConfigError
from visita.gallery.engines import Index
from visita.gallery.snapshot import Snapshot
from visita.search.matches import Match, Matches
from visita.search.query import Query
from visita.types import FloatArray, Judge, Matcher, Reranker
from visita.vectors import unit


class Hit(NamedTuple):
    """A picture that was found: a row of a snapshot."""

    path: str
    score: float
    snapshot: Snapshot
    row: int


def nearest(
    snapshots: Sequence[Snapshot], vector: FloatArray, k: int, *, by_direction: bool = False
) -> list[Hit]:
    """Return the min(k, n) best of n different files, best first; of equal ones the first path.

    Parameters
    ----------
    vector : float32 (d,)
        Scores are inner products with it.
    by_direction
        Of the pictures only the direction counts: scores are cosines, ``vector`` being unit.

    Raises
    ------
    ConfigError
        If k is below 1.
    DataError
        If the vector has another width than the galleries' or is not finite.
    """
    engines = [(one, one.directions if by_direction else one.index) for one in snapshots]
    found = (hit for one, engine in engines for hit in _best(one, engine, vector, k))
    return _distinct(in_order(found))[:k]


def in_order(hits: Iterable[Hit]) -> list[Hit]:
    """Return hits sorted, best first; of equal scores, the first path comes first."""
    return sorted(hits, key=lambda hit: (-hit.score, hit.path))


def _best(snapshot: Snapshot, engine: Index, vector: FloatArray, k: int) -> list[Hit]:
    # More than k are asked for only where several paths lead to the same file.
    wanted = k
    while True:
        rows, scores = engine.search(vector[None], wanted)
        hits = _distinct(
            Hit(snapshot.paths[row], score, snapshot, row)
            for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        )
        if len(hits) >= k or wanted >= len(snapshot):
            return hits
        wanted *= 2


def _distinct(hits: Iterable[Hit]) -> list[Hit]:
    first: dict[str, Hit] = {}
    for hit in hits:
        first.setdefault(os.path.realpath(hit.path), hit)
    return list(first.values())


def search(
    snapshots: Sequence[Snapshot],
    query_vector: FloatArray,
    k: int,
    *,
    matcher: Judge,
    threshold: float | None = None,
    kind: Literal["text", "keywords", "picture"] = "text",
    reranking: Reranking | None = None,
) -> Matches[Match]:
    """Return at most k matches, best first; of equal scores, the first path comes first.

    A file that is in several galleries, or is reached by links, is returned once.

    Parameters
    ----------
    query_vector : float32 (d,)
        At most 1 long, as from ``Query.pooled``; of a picture, 1.
    threshold
        Leave out what is below: a probability for a text, a similarity for a picture.
    reranking
        The second stage, which puts the best by the vector in a new order; see ``rerank``. For
        keywords, which many pictures may match, it looks at all k.

    Raises
    ------
    ConfigError
        If k is below 1, the threshold no number from -1 to 1, or there is one for a matcher
        without probabilities.
    DataError
        If the vector has another width than the galleries' or is not finite.
    """
    check_asked(k, threshold)
    if reranking is None:
        hits = nearest(snapshots, query_vector, k, by_direction=kind == "picture")
    else:
        depth = max(k, reranking.depth) if kind == "keywords" else reranking.depth
        hits = reranking.rerank(nearest(snapshots, query_vector, max(k, depth)), depth)[:k]
    probabilities = None
    if kind != "picture":
        scores = np.array([hit.score for hit in hits], np.float32)
        probabilities = matcher.probability(
            scores,
            sum(map(len, snapshots)),
            keywords=query_vector if kind == "keywords" else None,
        )
        if probabilities is None and threshold is not None:
            raise never_calibrated(matcher)
    measures = [hit.score for hit in hits] if probabilities is None else probabilities.tolist()
    return Matches(
        Match(Path(hit.path), hit.score, None if probabilities is None else measure)
        for hit, measure in zip(hits, measures, strict=True)
        if threshold is None or measure >= threshold
    )


def check_asked(k: int, threshold: float | None) -> None:
    """Refuse to search for fewer than one match, or down to what is no number from -1 to 1.

    Raises
    ------
    ConfigError
        If either is out of range.
    """
    whole(k, "k", 1)
    if threshold is not None:
        number(threshold, "threshold", -1, 1)


def never_calibrated(matcher: Judge) -> ConfigError:
    """Return the error of a threshold for a matcher without probabilities."""
    return ConfigError(
        f"The matcher {matcher.name!r} was never calibrated and knows no probability to "
        "cut off at: search without a threshold, or calibrate it."
    )


CANDIDATES = 500
"""Pictures at least, the nearest to what is wanted, among which the unwanted is looked for."""


def search_without(
    snapshots: Sequence[Snapshot],
    wanted: Query | None,
    unwanted: Sequence[Query],
    k: int,
    *,
    matcher: Matcher,
    threshold: float | None = None,
) -> Matches[Match]:
    """Return at most k matches, best first, by P(wanted) times 1 - P(shows) of each unwanted.

    Without anything wanted they are the pictures that show the unwanted the least. A match's
    score is that of the wanted, or less than the unwanted's; a matcher that was never
    calibrated orders by the wanted's score less the unwanted's.

    Raises
    ------
    ConfigError, DataError
        As ``search``.
    """
    check_asked(k, threshold)
    away = unit(-np.sum([one.pooled() for one in unwanted], axis=0)[None])[0]
    hits = nearest(snapshots, wanted.pooled() if wanted else away, max(CANDIDATES, k))
    size = sum(map(len, snapshots))
    found = [_judged(one, hits, matcher, size) for one in ([wanted] if wanted else [])]
    against = [_judged(one, hits, matcher, 0) for one in unwanted]
    scores = found[0][0] if found else -np.max([one for one, _ in against], axis=0)
    chances = [one for _, one in found] + [None if p is None else 1 - p for _, p in against]
    known = [one for one in chances if one is not None]
    sure = len(known) == len(chances)
    if not sure and threshold is not None:
        raise never_calibrated(matcher)
    less = scores - np.sum([one for one, _ in against], axis=0)
    values = np.prod(known, axis=0) if sure else less
    order = sorted(range(len(hits)), key=lambda row: (-values[row], -scores[row], hits[row].path))
    return Matches(
        Match(Path(hits[row].path), float(scores[row]), float(values[row]) if sure else None)
        for row in order[:k]
        if threshold is None or values[row] >= threshold
    )


def _judged(
    query: Query, hits: Sequence[Hit], matcher: Matcher, size: int
) -> tuple[FloatArray, NDArray[np.float32] | None]:
    """Return scores and probabilities, (n,): of a sentence among ``size`` pictures, if it is one.

    Where ``size`` is 0, whether the pictures show what the text names.
    """
    vector = query.pooled()
    scores = np.array([hit.snapshot.vectors[hit.row] @ vector for hit in hits], np.float32)
    reranking = Reranking.of(query, matcher)
    if reranking and hits:
        scores = reranking.scores(scores, np.stack([hit.snapshot.packed(hit.row) for hit in hits]))
    named = query.kind == "keywords" or not size
    keywords = vector if named else None
    return scores, matcher.probability(scores, max(1, size), keywords=keywords)


PASSAGES = 8
"""Of a longer query only the passages that weigh most are looked at; its vector has them all."""


@dataclass(frozen=True, eq=False)
class Reranking:
    """A query made ready for the second stage of a matcher; see ``of``.

    Attributes
    ----------
    matcher : Matcher
    reranker : Reranker
        The matcher's.
    passages : list of float32 (parts, …)
        Packed.
    weights : float32 (p,)
        How much each counts; they sum to 1.
    """

    matcher: Matcher
    reranker: Reranker
    passages: list[FloatArray]
    weights: FloatArray

    @classmethod
    def of(cls, query: Query, matcher: Matcher) -> Self | None:
        """Return what a matcher looks at again for a query.

        None if that is nothing: the query has no text, or words whose pictures are known by
        their vectors, or the matcher has no second stage.
        """
        if not query.texts or query.named or matcher.reranker is None:
            return None
        heaviest = np.argsort(-query.weights, kind="stable")[:PASSAGES]
        packed = matcher.reranker.pack_texts([query.texts[row] for row in heaviest])
        weights = query.weights[heaviest]
        return cls(matcher, matcher.reranker, packed, weights / weights.sum())

    @property
    def depth(self) -> int:
        """How many of the first stage's best are looked at."""
        return self.matcher.depth

    def second(self, pictures: NDArray[np.float16]) -> FloatArray:
        """Return the second stage's score of packed pictures, float32 (n,).

        It is the mean over the passages, by weight.
        """
        scores = [self.reranker.scores(pictures, passage) for passage in self.passages]
        return np.asarray(self.weights @ np.stack(scores), np.float32)

    def scores(self, first: FloatArray, pictures: NDArray[np.float16]) -> FloatArray:
        """Return the score of both stages, float32 (n,), the first's being ``first`` (n,)."""
        return self.matcher.combine(first, self.second(pictures))

    def rerank(self, hits: Sequence[Hit], depth: int) -> list[Hit]:
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
