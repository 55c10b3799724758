"""The parts of a joint space before they are joined."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from visita.networks.joint import JointSpace


class PartVectors(nn.Module):
    """One side of every part of a joint space, for export."""

    def __init__(self, space: JointSpace, side: Literal["image", "text"]) -> None:
        super().__init__()
        self.space = space
        self.side = side

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Map (n, views, d) of images or (m, e) of texts to unit vectors (n, d_k) a part."""
        return tuple(getattr(self.space, f"{self.side}_vectors")(features))
