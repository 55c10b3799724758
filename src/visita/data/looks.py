"""Whether the pixels of two pictures are nearly the same, and how sharp one is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visita.data.decode import decoding
from visita.errors import PictureError
from visita.types import FloatArray

COSINE = 0.5
"""How alike vectors have to be."""
BITS = 12
"""How many bits of 64 the hashes may differ in."""
_SIDE = 256
"""Pixels of the edges that sharpness is measured at, so that it does not depend on the size."""


class Look(NamedTuple):
    """What is compared of two pictures: a ``perceptual_hash``, and how sharp they are."""

    hash: NDArray[np.bool_]
    sharpness: float


Content = tuple[Path, str]
"""A file and the digest of what it holds."""


class Looks:
    """What is compared of pictures, each of which is read once."""

    def __init__(self) -> None:
        self._known: dict[str, Look | None] = {}

    def of(self, content: Content) -> Look | None:
        """Return what is compared of a picture; None if it cannot be read."""
        path, digest = content
        if digest not in self._known:
            self._known[digest] = look_at(path)
        return self._known[digest]

    def alike(self, one: Content, other: Content) -> bool:
        """Tell whether the pixels of two pictures are nearly the same."""
        first, second = self.of(one), self.of(other)
        if first is None or second is None:
            return False
        return int((first.hash != second.hash).sum()) <= BITS


def perceptual_hash(grey: FloatArray) -> NDArray[np.bool_]:
    """Return whether each of 8 x 8 cells is darker than its right neighbour, bool (64,).

    Parameters
    ----------
    grey : float32 (s, s)

    The difference hash of Krawetz, "Kind of like that" (2013).
    """
    cells = np.asarray(Image.fromarray(grey).resize((9, 8), Image.Resampling.BOX))
    return (cells[:, 1:] > cells[:, :-1]).ravel()


def _sharpness(grey: FloatArray) -> float:
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float(np.var(around - 4 * inner))


def look_at(path: Path) -> Look | None:
    """Return what is compared of the picture in a file; None if it cannot be read."""
    try:
        with decoding(path, reduced=True) as picture:
            small = picture.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BOX)
    except PictureError:
        return None
    grey = np.asarray(small, np.float32)
    return Look(perceptual_hash(grey), _sharpness(grey))
