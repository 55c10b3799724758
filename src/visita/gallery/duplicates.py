"""Pictures of a gallery that are the same, or nearly: by content, by vector and by pixels.

Two pictures are nearly the same where their vectors point the same way and their perceptual
hashes differ in few bits: the one knows what is shown, the other where. Groups are chains of
such pairs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from visita.data.locations import location
from visita.data.looks import COSINE, Content, Looks
from visita.data.metadata.columns import NOTHING
from visita.data.metadata.embedded import read_embedded
from visita.gallery.snapshot import Snapshot
from visita.types import FloatArray
from visita.vectors import unit

_BLOCK = 1024


@dataclass(frozen=True, slots=True)
class Alike:
    """A picture of a group.

    Attributes
    ----------
    path : Path
    width, height : int or None
        Pixels, where they are known.
    sharpness : float
        Variance of the Laplacian of the picture in grey, all of one size; 0 if it cannot be read.
    """

    path: Path
    width: int | None
    height: int | None
    sharpness: float


@dataclass(frozen=True, slots=True)
class Duplicates:
    """Pictures that are the same.

    Attributes
    ----------
    pictures : tuple of Alike
        The best first: the largest, of these the sharpest.
    exact : bool
        Whether all have one content.
    """

    pictures: tuple[Alike, ...]
    exact: bool


def find_duplicates(snapshot: Snapshot) -> list[Duplicates]:
    """Return the groups of pictures that are the same or nearly, in the order of their paths.

    Nothing is changed. Of each pair of pictures the vectors are compared, n² / 2 products; pixels
    are read only of those that may be alike.
    """
    groups = _Groups(snapshot)
    return [
        Duplicates(
            tuple(sorted(map(groups.judged, rows), key=_goodness)),
            len({snapshot.digests[row] for row in rows}) == 1,
        )
        for rows in groups.found()
    ]


def _goodness(picture: Alike) -> tuple[Any, ...]:
    pixels = (picture.width or 0) * (picture.height or 0)
    return -pixels, -picture.sharpness, picture.path


class _Groups:
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._looks = Looks()

    def found(self) -> list[list[int]]:
        """Return the rows of each group, in the order of the first."""
        first: dict[str, int] = {}
        pairs = [(first.setdefault(d, row), row) for row, d in enumerate(self._snapshot.digests)]
        rows = np.array(sorted(first.values()), np.int64)
        for a, b in near_pairs(unit(self._snapshot.vectors[rows]), COSINE):
            one, other = int(rows[a]), int(rows[b])
            if self._looks.alike(self._content(one), self._content(other)):
                pairs.append((one, other))
        return [group for group in _components(pairs, len(self._snapshot)) if len(group) > 1]

    def judged(self, row: int) -> Alike:
        """Return what tells how good a picture is."""
        path, look = location(self._snapshot.paths[row]), self._looks.of(self._content(row))
        known = NOTHING if look is None else read_embedded(path)
        return Alike(path, known.width, known.height, look.sharpness if look else 0.0)

    def _content(self, row: int) -> Content:
        return location(self._snapshot.paths[row]), self._snapshot.digests[row]


def near_pairs(directions: FloatArray, cosine: float) -> Iterator[tuple[int, int]]:
    """Yield the pairs of unit vectors (n, d) of at least some cosine, the lower row first."""
    for start in range(0, len(directions), _BLOCK):
        block = directions[start : start + _BLOCK]
        near = np.argwhere(block @ directions[start:].T >= cosine)
        yield from ((start + a, start + b) for a, b in near.tolist() if a < b)


def _components(pairs: list[tuple[int, int]], count: int) -> list[list[int]]:
    ends = np.array(pairs, np.int64).reshape(-1, 2).T
    links = coo_array((np.ones(ends.shape[1], np.int8), (ends[0], ends[1])), (count, count))
    _, names = connected_components(links, directed=False)
    members: dict[int, list[int]] = {}
    for row, name in enumerate(names.tolist()):
        members.setdefault(name, []).append(row)
    return list(members.values())
