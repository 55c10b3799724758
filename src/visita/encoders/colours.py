"""How much of a picture has which colour: the eleven basic colour terms of Berlin and Kay (1969).

Each pixel is shared out among the terms by its distance to their focal colours in CIELAB, and
the shares are averaged over the ``whole`` picture or over its ``centre``, half of each side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from visita.arguments import check_levels
from visita.artifact import fingerprint_of

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


SIDE = 64


PREPROCESSING = "sRGB, squashed to 64 x 64, bicubic"


LEVELS = ("whole", "centre")


class Colours:
    """An ``ImageEncoder`` without learnt weights."""

    name = "colours"
    side = SIDE
    reduced = True

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Map each level to (11,): shares of the colours, with sum 1."""
        return {level: (len(FOCAL),) for level in LEVELS}

    def fingerprint(self) -> str:
        """Return a hash over the focal colours and the preprocessing."""
        return fingerprint_of([self.name, FOCAL, SPREAD, PREPROCESSING])

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture squashed to the input square, uint8 (64, 64, 3)."""
        return np.asarray(picture.resize((SIDE, SIDE), Resampling.BICUBIC), dtype=np.uint8)

    def network(self, levels: Sequence[str]) -> Any:
        """Return a torch module: uint8 (b, 64, 64, 3) → a tuple with float32 (b, 11) a level.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        """
        check_levels(self.name, levels, LEVELS)
        from visita.encoders.colour_shares import ColourShares  # noqa: PLC0415 - needs torch

        return ColourShares(list(FOCAL.values()), SPREAD, levels).eval()
