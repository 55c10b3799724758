"""What two-sided networks share that standardise their features and map each side by layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from visita.types import FloatArray

Layers = Callable[[int, int, int, float], nn.Sequential]
"""From features, hidden width, outputs and dropout to the layers of one side."""


class Sides(nn.Module):
    """Statistics and layers of pictures and of texts.

    Attributes
    ----------
    arguments : dict
        What rebuilds the network for use, as JSON values.
    """

    def __init__(
        self,
        image_features: int,
        text_features: int,
        layers: Layers,
        *,
        hidden: int,
        outputs: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.dim = outputs
        self.arguments: dict[str, Any] = {"hidden": hidden, "outputs": outputs}
        for side, features in (("image", image_features), ("text", text_features)):
            self.register_buffer(f"{side}_mean", torch.zeros(features))
            self.register_buffer(f"{side}_scale", torch.ones(features))
            self.add_module(f"{side}_layers", layers(features, hidden, outputs, dropout))

    @torch.no_grad()
    def set_statistics(self, side: str, mean: FloatArray, scale: FloatArray) -> None:
        """Set mean and scale, (d,) each, of image or text."""
        self.get_buffer(f"{side}_mean").copy_(torch.from_numpy(mean))
        self.get_buffer(f"{side}_scale").copy_(torch.from_numpy(scale))

    def outputs(self, side: str, features: Tensor) -> Tensor:
        """Map features (n, d) of image or text to (n, outputs)."""
        mean, scale = self.get_buffer(f"{side}_mean"), self.get_buffer(f"{side}_scale")
        mapped: Tensor = self.get_submodule(f"{side}_layers")((features - mean) / scale)
        return mapped
