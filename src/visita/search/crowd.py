"""What a search knows of all that it searched: by it a result's probability is told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visita.gallery.snapshot import Snapshot
from visita.matchers.standing_out import Crowd, usual_in_search
from visita.matchers.usual import usual_scores
from visita.search.query import Query
from visita.types import FloatArray

SAMPLE = 1000
"""Pictures, or somewhat more, whose scores stand for those of all."""


def crowd_of(query: Query, snapshots: Sequence[Snapshot], scores: FloatArray) -> Crowd | None:
    """Return what the results of a search stand among; None if nothing was searched.

    Parameters
    ----------
    scores : float32 (h,)
        Of the best pictures, the two best among them, in any order.
    """
    size = sum(map(len, snapshots))
    if query.matcher is None or not size:
        return None
    vector, step = query.known(), max(1, size // SAMPLE)
    sample = np.concatenate([np.asarray(s.taken[::step] @ vector) for s in snapshots])
    usual = usual_in_search(sample, size, usual_scores(query.matcher.background, vector))
    second, best = np.sort(np.append(scores, scores.min()))[-2:]
    return Crowd(size, usual, best, second)


def probable(
    query: Query, snapshots: Sequence[Snapshot], scores: FloatArray, k: int
) -> FloatArray | None:
    """Return how probable the first k of some results are; None if nothing knows it.

    Parameters
    ----------
    scores : float32 (h,)
        Of the best pictures, the two best among them.
    """
    crowd = crowd_of(query, snapshots, scores) if query.kind == "text" else None
    return query.probability(scores[:k], sum(map(len, snapshots)), crowd=crowd)
