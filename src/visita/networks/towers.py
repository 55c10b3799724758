"""The fusion network: multi-level features of a picture and of a text into one space.

Each side is a linear map found in closed form plus a multi-layer perceptron that
learns what the line cannot say. The MLP over concatenated levels is eq. 4 of the
multi-level fusion paper; the linear path, the trained text side and the loss are ours.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Tower(nn.Module):
    """One side: standardise, then unit(unit(x A) + mlp(x)).

    Attributes
    ----------
    mean, scale : float32 (d,)
        Training statistics of the features.
    linear : float32 (d, dim)
        The closed-form map A; a buffer, as training it only overfits.
    """

    mean: Tensor
    scale: Tensor
    linear: Tensor

    def __init__(
        self, features: int, dim: int, hidden: int, dropout: float, input_dropout: float
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.register_buffer("linear", torch.zeros(features, dim))
        self.mlp = nn.Sequential(
            nn.Dropout(input_dropout),
            nn.Linear(features, hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, dim),
        )
        # The last layer starts at zero: training starts from the closed-form answer.
        for parameter in self.mlp[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> Tensor:
        """Map float32 (…, d) to unit vectors (…, dim)."""
        x = (features - self.mean) / self.scale
        start = functional.normalize(x @ self.linear, dim=-1)
        return functional.normalize(start + self.mlp(x), dim=-1)


class FusionNetwork(nn.Module):
    """Two towers into one space."""

    def __init__(
        self,
        image_features: int,
        text_features: int,
        *,
        dim: int = 384,
        hidden: int = 1024,
        dropout: float = 0.6,
        input_dropout: float = 0.4,
    ) -> None:
        super().__init__()
        self.dim = dim
        self.arguments = {"dim": dim, "hidden": hidden}
        self.image_tower = Tower(image_features, dim, hidden, dropout, input_dropout)
        self.text_tower = Tower(text_features, dim, hidden, dropout, input_dropout)

    def image(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to unit vectors (n, dim), the mean over the views."""
        return mean_view(self.image_tower(features))

    def text(self, features: Tensor) -> Tensor:
        """Map (m, e) to unit vectors (m, dim)."""
        unit: Tensor = self.text_tower(features)
        return unit


def mean_view(vectors: Tensor) -> Tensor:
    """Return the direction of the mean over the views: (n, views, dim) → (n, dim)."""
    return functional.normalize(vectors.mean(1), dim=-1)
