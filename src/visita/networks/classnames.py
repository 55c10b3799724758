"""An open-vocabulary similarity that needs no pairs: class probabilities times class names.

ConSE (Norouzi et al., 2014) with square roots of the probabilities and both sides
centred: a picture is the sum of the text vectors of its likely classes' names.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class _ImageSide(nn.Module):
    names: Tensor
    mean: Tensor

    def __init__(self, classes: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("names", torch.zeros(classes, dim))
        self.register_buffer("mean", torch.zeros(dim))

    def forward(self, probabilities: Tensor) -> Tensor:
        """Map class probabilities (n, classes) to unit vectors (n, dim)."""
        return functional.normalize(probabilities.sqrt() @ self.names - self.mean, dim=-1)


class _TextSide(nn.Module):
    mean: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))

    def forward(self, sentences: Tensor) -> Tensor:
        """Map sentence vectors of any length (m, dim) to unit vectors (m, dim)."""
        return functional.normalize(functional.normalize(sentences, dim=-1) - self.mean, dim=-1)


class ClassNames(nn.Module):
    """Both sides of the class-name similarity; everything in it is a buffer."""

    def __init__(self, image_features: int, text_features: int) -> None:
        super().__init__()
        self.dim = text_features
        self.image = _ImageSide(image_features, text_features)
        self.text = _TextSide(text_features)
