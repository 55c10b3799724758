"""How much of a picture has which colour: the eleven basic colour terms of Berlin and Kay (1969).

Each pixel is shared out among the terms by its distance to their focal colours in CIELAB, and
the shares are averaged over the ``whole`` picture or over its ``centre``, half of each side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from visita.arguments import check_levels
from visita.artifact import fingerprint_of
from visita.encoders.engine import Runner
from visita.types import FloatArray

FOCAL = {
    "black": (20, 20, 20),
    "white": (245, 245, 245),
    "grey": (128, 128, 128),
    "red": (200, 30, 35),
    "orange": (240, 130, 30),
    "yellow": (245, 215, 50),
    "green": (50, 140, 60),
    "blue": (40, 90, 190),
    "purple": (120, 60, 150),
    "pink": (240, 150, 180),
    "brown": (120, 75, 40),
}
"""sRGB of a colour that few would call otherwise; ours, muted as in photographs."""
SPREAD = 15.0
"""Standard deviation of a term around its focal colour in CIELAB, where 2 is just noticeable."""
TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)
WHITE = (0.95047, 1.0, 1.08883)
"""sRGB's matrix and white point D65, IEC 61966-2-1."""
SIDE = 64
PREPROCESSING = "sRGB, squashed to 64 x 64, bicubic"
LEVELS = ("whole", "centre")


class Colours:
    """An ``ImageEncoder`` without learnt weights."""

    name = "colours"
    side = SIDE
    reduced = True
    licence = "Apache-2.0"
    package = None

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Map each level to (11,): shares of the colours, with sum 1."""
        return {level: (len(FOCAL),) for level in LEVELS}

    def fingerprint(self) -> str:
        """Return a hash over the focal colours and the preprocessing."""
        return fingerprint_of([self.name, FOCAL, SPREAD, PREPROCESSING])

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture squashed to the input square, uint8 (64, 64, 3)."""
        return np.asarray(picture.resize((SIDE, SIDE), Resampling.BICUBIC), dtype=np.uint8)

    def runner(self, levels: Sequence[str]) -> Runner:
        """Return what maps uint8 (b, 64, 64, 3) to float32 (b, 11) a level.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        """
        check_levels(self.name, levels, LEVELS)
        return partial(_levels, tuple(levels))


def _levels(levels: Sequence[str], pixels: NDArray[Any]) -> tuple[FloatArray, ...]:
    """Return the mean over regions of softmax(-|pixel - focal|² / 2 spread²) in CIELAB."""
    focal = lab(np.array(list(FOCAL.values()), np.float32))
    squares = ((lab(pixels.astype(np.float32))[..., None, :] - focal) ** 2).sum(-1)
    nearness = np.exp((squares.min(-1, keepdims=True) - squares) / np.float32(2 * SPREAD**2))
    shares = nearness / nearness.sum(-1, keepdims=True)
    quarter = SIDE // 4
    middle = slice(quarter, SIDE - quarter)
    regions = {"whole": shares, "centre": shares[:, middle, middle]}
    return tuple(regions[level].mean((1, 2)) for level in levels)


def lab(rgb: FloatArray) -> FloatArray:
    """Map sRGB, float32 0 to 255, (…, 3) to CIELAB, float32 (…, 3)."""
    part = rgb / 255
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    xyz = linear.astype(np.float32) @ (np.array(TO_XYZ, np.float32).T / np.array(WHITE, np.float32))
    edge = 6 / 29
    f = np.where(xyz > edge**3, np.cbrt(xyz), xyz / (3 * edge**2) + 4 / 29)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1).astype(np.float32)
