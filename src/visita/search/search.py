"""The best pictures for a query, over one or more galleries."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from visita.arguments import number, one_of, whole
from visita.data.locations import location
from visita.errors import ConfigError, DamagedError
from visita.gallery.engines import Index
from visita.gallery.mentions import Fields
from visita.gallery.snapshot import Snapshot
from visita.progress import say
from visita.search.crowd import probable
from visita.search.grouping import grouped
from visita.search.matches import Match, Matches
from visita.search.query import Query
from visita.search.words import kernels, words_of
from visita.stages import stage
from visita.types import FloatArray

if TYPE_CHECKING:
    from visita.gallery.filter import Filter


class Hit(NamedTuple):
    """A picture that was found: a row of a snapshot."""

    path: str
    score: float
    snapshot: Snapshot
    row: int

    @property
    def date(self) -> str | None:
        """When the picture was taken, where that was asked for and is known."""
        return self.snapshot.dates[self.row] if self.snapshot.dates else None


@stage("search")
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
    engines = [
        (snapshot, snapshot.directions if by_direction else snapshot.index)
        for snapshot in snapshots
    ]
    best = [_best(snapshot, engine, vector, k) for snapshot, engine in engines]
    hits = in_order(chain.from_iterable(best))
    # What is distinct within a gallery already costs a look at the disk for each path.
    return (hits if len(best) == 1 else _distinct(hits))[:k]


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
    real = cache(os.path.realpath)
    for hit in hits:
        folder, name = os.path.split(hit.path)
        linked = os.path.islink(hit.path)  # noqa: PTH114  of a str
        first.setdefault(real(hit.path) if linked else os.path.join(real(folder), name), hit)  # noqa: PTH118
    return list(first.values())


class Searchable(Protocol):
    """A gallery, as far as a search needs it."""

    @property
    def snapshot(self) -> Snapshot:
        """The pictures as they are known now."""
        ...

    def passing(self, where: Filter) -> Snapshot:
        """Return those that pass a filter, with their dates."""
        ...

    def mentions(self, snapshot: Snapshot, words: Iterable[str]) -> Mapping[int, Fields]:
        """Return what is written of the pictures with any of some words, by row."""
        ...

    def mend(self) -> None:
        """Make again what is damaged."""
        ...


Sort = Literal["relevance", "date"]
SORTS = ("relevance", "date")
SURE = 0.5
"""The probability from which on a picture is more likely right than wrong."""


def search(
    query: Query,
    galleries: Sequence[Searchable],
    k: int,
    *,
    threshold: float | None = None,
    where: Filter | None = None,
    sort: Sort = "relevance",
    group: bool = False,
) -> Matches[Match]:
    """Return at most k matches, best first; of equal scores, the first path comes first.

    A file that is in several galleries, or is reached by links, is returned once. Where the
    search comes upon damage, that is made again first.

    Where the query has a re-ranker, it puts the best by the vectors in a new order: as many as
    the matcher's depth says, whatever k is, or all k for keywords, which many pictures may match.
    What is not wanted counts against a picture: the order is that of P(wanted) times 1 - P(shows)
    of each unwanted or, where the matcher was never calibrated, of the scores less those of the
    unwanted.

    Parameters
    ----------
    threshold
        Leave out what is below: a probability for a text, a similarity for a picture.
    where
        Search among the pictures that pass, as if there were no others.
    sort
        ``date``: the newest first of those that reach the threshold, or else ``SURE``.
    group
        Of pictures that are nearly the same only the first is a match, which names the others.

    Raises
    ------
    ConfigError
        If k is below 1, the threshold no number from -1 to 1, or there is one for a matcher
        without probabilities; if the filter cannot be used, or pictures like a picture are to be
        sorted by date without a threshold.
    DataError
        If the vectors have another width than the galleries' or are not finite.
    """
    one_of(sort, "sort", SORTS)
    among = _everything() if where is None and sort == "date" else where
    find = search_snapshots if sort == "relevance" else newest

    def look() -> Matches[Match]:
        snapshots = [
            gallery.snapshot if among is None else gallery.passing(among) for gallery in galleries
        ]
        said = list(_said(query, galleries, snapshots))
        ranked = partial(find, query, snapshots, threshold=threshold, said=said)
        return grouped(ranked, snapshots, whole(k, "k", 1)) if group else ranked(k)

    try:
        return look()
    except DamagedError as error:
        say(f"{error} What is damaged is made again.")
    for gallery in galleries:
        gallery.mend()
    return look()


class Said(NamedTuple):
    """A picture, and what the kernels of words add to its score, by name."""

    snapshot: Snapshot
    row: int
    adds: Mapping[str, float]

    @property
    def path(self) -> str:
        """The picture's file."""
        return self.snapshot.paths[self.row]


def _said(
    query: Query, galleries: Sequence[Searchable], snapshots: Sequence[Snapshot]
) -> Iterator[Said]:
    text = " ".join(query.texts)
    if query.unwanted or not (words := words_of(text)):
        return
    for gallery, snapshot in zip(galleries, snapshots, strict=True):
        for row, fields in gallery.mentions(snapshot, words).items():
            yield Said(snapshot, row, kernels(text, fields))


def _everything() -> Filter:
    from visita.gallery.filter import Filter  # noqa: PLC0415  most searches need none

    return Filter()


def newest(
    query: Query,
    snapshots: Sequence[Snapshot],
    k: int,
    *,
    threshold: float | None = None,
    said: Sequence[Said] = (),
) -> Matches[Match]:
    """Return the k newest of the matches that reach a threshold; those without a date come last.

    Raises
    ------
    ConfigError, DamagedError
        As ``search`` and ``search_snapshots``.
    """
    whole(k, "k", 1)
    if threshold is None and query.kind == "picture":
        raise ConfigError(
            "How similar is similar enough? Sorting by date needs a threshold for pictures like "
            "one, such as 0.7, and for a sum."
        )
    least = SURE if threshold is None else threshold
    wanted, size = max(k, CANDIDATES), sum(map(len, snapshots))
    while True:
        matches = search_snapshots(query, snapshots, wanted, threshold=least, said=said)
        if len(matches) < wanted or wanted >= size:
            break
        wanted *= 4
    return Matches(sorted(matches, key=lambda match: match.date or "", reverse=True)[:k])


def search_snapshots(
    query: Query,
    snapshots: Sequence[Snapshot],
    k: int,
    *,
    threshold: float | None = None,
    said: Sequence[Said] = (),
) -> Matches[Match]:
    """Return what ``search`` does, among pictures as they were at one moment.

    ``said`` are those that have words of the query.

    Raises
    ------
    DamagedError
        If it comes upon damage.
    """
    whole(k, "k", 1)
    if threshold is not None:
        number(threshold, "threshold", -1, 1)
    if query.unwanted:
        hits, probabilities = _without_unwanted(query, snapshots, k)
    else:
        hits, probabilities = _nearest_reranked(query, snapshots, k, said)
    if probabilities is None and threshold is not None and query.kind != "picture":
        name = repr(query.judge.name) if query.judge else "of these vectors"
        raise ConfigError(
            f"The matcher {name} was never calibrated and knows no probability to cut off at: "
            "search without a threshold and by relevance, or calibrate it."
        )
    measures = [hit.score for hit in hits] if probabilities is None else probabilities.tolist()
    adds = {each.path: tuple(each.adds.items()) for each in said}
    return Matches(
        Match(
            location(hit.path),
            hit.score,
            None if probabilities is None else measure,
            date=hit.date,
            said=adds.get(hit.path, ()),
        )
        for hit, measure in zip(hits, measures, strict=True)
        if threshold is None or measure >= threshold
    )


Judged = tuple[list[Hit], FloatArray | None]
"""Pictures, best first, and how probable each is."""


def _nearest_reranked(
    query: Query, snapshots: Sequence[Snapshot], k: int, said: Sequence[Said]
) -> Judged:
    vector, by_direction = query.pooled(), query.kind == "picture"
    if query.reranker is None or query.matcher is None:
        # The best but one tells how sure the best is.
        hits = nearest(snapshots, vector, max(k, 2), by_direction=by_direction)
        hits = _with_said(hits, said, vector)
    else:
        depth = query.matcher.depth
        depth = max(k, depth) if query.kind == "keywords" else depth
        hits = _with_said(nearest(snapshots, vector, max(k, depth)), said, vector)
        hits = rerank(query, hits, depth)
    hits = _adding(hits, said)
    scores = np.array([hit.score for hit in hits], np.float32)
    return hits[:k], probable(query, snapshots, scores, k)


def _with_said(hits: list[Hit], said: Sequence[Said], vector: FloatArray) -> list[Hit]:
    """Return hits with the pictures that have words of the query among them, best first."""
    if not said:
        return hits
    others = (
        Hit(
            each.snapshot.paths[each.row],
            float(each.snapshot.vector(each.row) @ vector),
            *each[:2],
        )
        for each in said
    )
    return _distinct(in_order([*hits, *others]))


def _adding(hits: list[Hit], said: Sequence[Said]) -> list[Hit]:
    """Return hits with what words add to their scores, best first."""
    if not said:
        return hits
    adds = {each.path: sum(each.adds.values()) for each in said}
    return in_order(hit._replace(score=hit.score + adds.get(hit.path, 0)) for hit in hits)


@stage("rerank")
def rerank(query: Query, hits: Sequence[Hit], depth: int) -> list[Hit]:
    """Return hits of the first stage, best first, with the scores of both stages.

    The first ``depth`` come in the order of both, the others after them as they were.
    Those are taken to do as badly by the re-ranker as the worst that it scored:
    so all scores are of one kind, and none of theirs is above one that was re-ranked.
    """
    if not hits:
        return []
    near = hits[:depth]
    second = query.rerank_scores(_packed(near))
    rest = np.full(len(hits) - len(near), second.min())
    first = np.array([hit.score for hit in hits], np.float32)
    combined = query.combine(first, np.concatenate([second, rest])).tolist()
    scored = [hit._replace(score=score) for hit, score in zip(hits, combined, strict=True)]
    return in_order(scored[:depth]) + scored[depth:]


def _packed(hits: Sequence[Hit]) -> NDArray[np.float16]:
    return np.stack([hit.snapshot.packed(hit.row) for hit in hits])


CANDIDATES = 500
"""Pictures at least, the nearest to what is wanted, among which the unwanted is looked for."""


def _without_unwanted(query: Query, snapshots: Sequence[Snapshot], k: int) -> Judged:
    """Return the k best by what is wanted and what is not.

    A score is that of the wanted; without anything wanted, less the unwanted's.
    """
    hits = nearest(snapshots, query.pooled(), max(CANDIDATES, k))
    vectors = np.array([hit.snapshot.taken[hit.row] for hit in hits], np.float32)
    vectors = vectors.reshape(len(hits), query.vectors.shape[1])
    wanted = [query] if query.texts else []
    reranked = hits and any(part.reranker for part in (*wanted, *query.unwanted))
    packed = _packed(hits) if reranked else None
    chances, against = [], []
    for part in query.unwanted:
        against.append(part.scores(vectors, packed))
        shown = part.probability(against[-1], 1, shows=True)
        chances.append(None if shown is None else 1 - shown)
    scores = query.scores(vectors, packed) if wanted else -np.max(against, axis=0)
    if wanted:
        chances.append(probable(query, snapshots, scores, len(scores)))
    known = [chance for chance in chances if chance is not None]
    sure = len(known) == len(chances)
    values = np.prod(known, axis=0) if sure else scores - np.sum(against, axis=0)
    order = sorted(range(len(hits)), key=lambda row: (-values[row], -scores[row], hits[row].path))
    best = [hits[row]._replace(score=float(scores[row])) for row in order[:k]]
    return best, values[order[:k]] if sure else None
