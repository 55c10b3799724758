"""The first stage of a search: the pictures nearest to one vector."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from visita.gallery.contract import Index
from visita.gallery.snapshot import Snapshot
from visita.types import FloatArray


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
