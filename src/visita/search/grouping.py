"""Matches that are nearly the same picture, put together under the best of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from visita.data.looks import COSINE, Looks
from visita.gallery.snapshot import Snapshot
from visita.search.matches import Match, Matches
from visita.types import FloatArray
from visita.vectors import unit


def grouped(
    find: Callable[[int], Matches[Match]], snapshots: Sequence[Snapshot], k: int
) -> Matches[Match]:
    """Return the k best of matches no two of which are nearly the same; see ``Looks``.

    Parameters
    ----------
    find
        Returns so many of the best.
    """
    wanted, size = 2 * k, sum(map(len, snapshots))
    while True:
        matches = find(wanted)
        groups = together(matches, snapshots)
        if len(groups) >= k or len(matches) < wanted or wanted >= size:
            return Matches(groups[:k])
        wanted *= 4


def together(matches: Sequence[Match], snapshots: Sequence[Snapshot]) -> list[Match]:
    """Return the first of all that are nearly the same, which has the others in ``alike``."""
    seen = _seen({str(match.path) for match in matches}, snapshots)
    looks = Looks()
    groups: dict[str, list[Path]] = {}
    for match in matches:
        path = str(match.path)
        first = next((other for other in groups if _alike(seen, looks, path, other)), path)
        groups.setdefault(first, []).append(match.path)
    firsts = (match for match in matches if str(match.path) in groups)
    return [replace(match, alike=tuple(groups[str(match.path)][1:])) for match in firsts]


class _Seen(NamedTuple):
    digest: str
    direction: FloatArray


def _seen(paths: set[str], snapshots: Sequence[Snapshot]) -> dict[str, _Seen]:
    return {
        path: _Seen(snapshot.digests[row], unit(snapshot.taken[row : row + 1])[0])
        for snapshot in snapshots
        for row, path in enumerate(snapshot.paths)
        if path in paths
    }


def _alike(seen: dict[str, _Seen], looks: Looks, path: str, other: str) -> bool:
    (digest, direction), (other_digest, other_direction) = seen[path], seen[other]
    if digest == other_digest:
        return True
    near = float(direction @ other_direction) >= COSINE
    return near and looks.alike((Path(path), digest), (Path(other), other_digest))
