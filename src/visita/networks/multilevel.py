"""The network of the multi-level fusion paper: pictures are mapped to the topics of texts.

Eq. 4: the levels side by side through one hidden layer, widths decreasing, out at the
width of the text. With 4,096 features (mixed9 and fc) it is 4096 → 2048 sigmoid → 500
tanh; on fc alone the same class reads 2,048.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.networks.towers import mean_view

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "none": nn.Identity}


class MultiLevel(nn.Module):
    """A two-sided network that learns its image side only; a text stays what it is.

    Attributes
    ----------
    mean, scale : float32 (d,)
        Subtracted from the features and dividing them; 0 and 1 as in the paper, which
        names no such step.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        image_features: int,
        text_features: int,
        *,
        hidden: int = 2048,
        hidden_activation: str = "sigmoid",
        output_activation: str = "tanh",
    ) -> None:
        super().__init__()
        self.dim = text_features
        self.register_buffer("mean", torch.zeros(image_features))
        self.register_buffer("scale", torch.ones(image_features))
        self.mlp = nn.Sequential(
            nn.Linear(image_features, hidden),
            ACTIVATIONS[hidden_activation](),
            nn.Linear(hidden, text_features),
            ACTIVATIONS[output_activation](),
        )

    def image(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to unit vectors (n, dim), the mean over the views."""
        fused = self.mlp((features - self.mean) / self.scale)
        return mean_view(functional.normalize(fused, dim=-1))

    def text(self, topics: Tensor) -> Tensor:
        """Scale topics (m, dim) to unit length; a text without topics stays zero."""
        return functional.normalize(topics, dim=-1)
