"""A search for pictures that show one thing and not another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visita.gallery.snapshot import Snapshot
from visita.search.hits import Hit, nearest
from visita.search.matches import Match, Matches
from visita.search.query import Query
from visita.search.rescoring import Rescoring
from visita.search.search import check_asked, never_calibrated
from visita.types import FloatArray, Matcher
from visita.vectors import unit

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
    closer = Rescoring.of(query, matcher)
    if closer and hits:
        scores = closer.scores(scores, np.stack([hit.snapshot.packed(hit.row) for hit in hits]))
    named = query.kind == "keywords" or not size
    keywords = vector if named else None
    return scores, matcher.probability(scores, max(1, size), keywords=keywords)
