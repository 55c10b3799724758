"""The image side of MKL-VisITA: a grid of CNN features through the visual transformer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visita.networks.transformer import Transformer


class Cells(nn.Module):
    """Early, middle and last CNN levels of each cell, and what the transformer makes of them.

    Attributes
    ----------
    mean, scale : float32 (d,)
        Training statistics of the grid's features.
    places : float32 (cells, width)
        The learnt embedding of where a cell is.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        cells: int,
        features: int,
        width: int,
        *,
        heads: int,
        depth: int,
        dropout: float,
        input_dropout: float,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.fuse = nn.Sequential(nn.Dropout(input_dropout), nn.Linear(features, width))
        self.places = nn.Parameter(torch.zeros(cells, width))
        self.transformer = Transformer(width, heads, depth, dropout)

    def forward(self, grid: Tensor) -> Tensor:
        """Map a grid, (n, cells, d), its levels side by side, to (n, cells, width)."""
        x = self.fuse((grid - self.mean) / self.scale) + self.places
        # Blocks add to what comes in, so the CNN's levels stay beside the transformer's view.
        mixed: Tensor = self.transformer(x, torch.ones_like(x[:, :, 0], dtype=torch.bool))
        return mixed
