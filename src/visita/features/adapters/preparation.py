"""How a picture becomes the input of a network from another library."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

LONGEST = 16
"""Where a picture is longer than this many times its width, its ends are cut off first: the
libraries would make a picture of gigabytes of it, only to keep the middle."""


@dataclass(frozen=True)
class Preparation:
    """Resize, crop the centre, scale and normalise, as the library that has the network does.

    Attributes
    ----------
    side : int
        Pixels a side of the square input.
    resize : int
        Pixels of the shorter edge after resizing, at least ``side``.
    squash : bool
        Resize both edges to ``resize`` and give up the shape, instead of the shorter one.
    resample : str
        Name of Pillow's filter, such as "BICUBIC".
    mean, std : three floats each
        Of red, green and blue, after dividing by ``divisor``.
    rounds_crop : bool
        Half a pixel of margin is rounded (torchvision) or cut off (transformers).
    divisor : float
        What makes 0 … 255 the network's scale.
    """

    side: int
    resize: int
    squash: bool
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    rounds_crop: bool
    divisor: float = 255.0

    def __call__(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture as uint8 (side, side, 3)."""
        if not self.squash:
            picture = _shortened(picture)
        size = self._resized(*picture.size)
        if picture.size != size:
            picture = picture.resize(size, Resampling[self.resample])
        left, top = (self._margin(edge) for edge in size)
        return np.asarray(
            picture.crop((left, top, left + self.side, top + self.side)), dtype=np.uint8
        )

    def _resized(self, width: int, height: int) -> tuple[int, int]:
        if self.squash:
            return self.resize, self.resize
        shorter = min(width, height)
        return int(self.resize * width / shorter), int(self.resize * height / shorter)

    def _margin(self, edge: int) -> int:
        spare = edge - self.side
        return round(spare / 2) if self.rounds_crop else spare // 2


def _shortened(picture: Image) -> Image:
    width, height = picture.size
    longest = LONGEST * min(width, height)
    left, top = (max(0, edge - longest) // 2 for edge in (width, height))
    return picture.crop((left, top, width - left, height - top)) if left or top else picture
