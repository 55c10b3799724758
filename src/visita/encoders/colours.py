"""How much of a picture has which colour: the eleven basic colour terms of Berlin and Kay (1969).

Each pixel is shared out among the terms by its distance to their focal colours in CIELAB, and
the shares are averaged over the ``whole`` picture or over its ``centre``, half of each side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
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

    def network(self, levels: Sequence[str]) -> Any:
        """Return a torch module: uint8 (b, 64, 64, 3) → a tuple with float32 (b, 11) a level.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        """
        check_levels(self.name, levels, LEVELS)
        return _colour_shares()(list(FOCAL.values()), SPREAD, levels).eval()


@cache
def _colour_shares() -> Any:
    """Return the class of torch modules that share pixels out among colours."""
    import torch  # noqa: PLC0415 - exporting only; searching must not import torch
    from torch import Tensor, nn  # noqa: PLC0415

    class ColourShares(nn.Module):
        """Mean over a region of softmax(-|pixel - focal|² / 2 spread²), distances in CIELAB."""

        focal: Tensor
        to_xyz: Tensor

        def __init__(
            self, focal: Sequence[tuple[int, int, int]], spread: float, levels: Sequence[str]
        ) -> None:
            super().__init__()
            self.levels = tuple(levels)
            self.spread = spread
            self.register_buffer("to_xyz", torch.tensor(TO_XYZ).T / torch.tensor(WHITE))
            self.register_buffer("focal", self.lab(torch.tensor(focal, dtype=torch.float32)))

        def lab(self, rgb: Tensor) -> Tensor:
            """Map sRGB, 0 to 255, (…, 3) to CIELAB (…, 3)."""
            part = rgb / 255
            linear = torch.where(
                part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055).clamp(min=0) ** 2.4
            )
            xyz = linear @ self.to_xyz
            edge = 6 / 29
            f = torch.where(
                xyz > edge**3, xyz.clamp(min=edge**3) ** (1 / 3), xyz / (3 * edge**2) + 4 / 29
            )
            x, y, z = f.unbind(-1)
            return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=-1)

        def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
            """Map pixels, uint8 (b, side, side, 3), to float32 (b, colours) a level."""
            lab = self.lab(pixels.to(torch.float32))
            squares = (lab[..., None, :] - self.focal).square().sum(-1)
            shares = torch.softmax(-squares / (2 * self.spread**2), dim=-1)
            quarter = shares.shape[1] // 4
            middle = slice(quarter, shares.shape[1] - quarter)
            regions = {"whole": shares, "centre": shares[:, middle, middle]}
            return tuple(regions[level].mean((1, 2)) for level in self.levels)

    return ColourShares
