"""The torch module that shares pixels out among colours."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

TO_XYZ = (
    (0.4124564, 0.3575761, 0.1804375),
    (0.2126729, 0.7151522, 0.0721750),
    (0.0193339, 0.1191920, 0.9503041),
)


WHITE = (0.95047, 1.0, 1.08883)
"""sRGB's matrix and white point D65, IEC 61966-2-1."""


class ColourShares(nn.Module):
    """Mean over a region of softmax(-|pixel - focal colour|² / 2 spread²), distances in CIELAB."""

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
