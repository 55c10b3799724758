"""An open-vocabulary similarity that needs no pairs: class probabilities times class names.

ConSE (Norouzi et al., 2014), over all classes and with both sides centred: a picture is
the mean of the text vectors of its classes' names, weighted by their probabilities.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.networks.towers import mean_view


class ClassNames(nn.Module):
    """A two-sided network without parameters.

    Attributes
    ----------
    names : float32 (classes, dim)
        Unit text vector of each class's name.
    image_mean, text_mean : float32 (dim,)
        Means over training images and training texts.
    """

    names: Tensor
    image_mean: Tensor
    text_mean: Tensor

    def __init__(self, image_features: int, text_features: int) -> None:
        super().__init__()
        self.dim = text_features
        self.register_buffer("names", torch.zeros(image_features, text_features))
        self.register_buffer("image_mean", torch.zeros(text_features))
        self.register_buffer("text_mean", torch.zeros(text_features))

    def image(self, probabilities: Tensor) -> Tensor:
        """Map class probabilities (n, views, classes) to unit vectors (n, dim)."""
        centred = probabilities @ self.names - self.image_mean
        return mean_view(functional.normalize(centred, dim=-1))

    def text(self, sentences: Tensor) -> Tensor:
        """Map sentence vectors of any length (m, dim) to unit vectors (m, dim)."""
        return functional.normalize(
            functional.normalize(sentences, dim=-1) - self.text_mean, dim=-1
        )
