"""The fusion networks: multi-level features of a picture and of a text into one joined space.

The fusion network: multi-level features of a picture and of a text into one space.

Each side is a linear map found in closed form plus a multi-layer perceptron that
learns what the line cannot say. The MLP over concatenated levels is eq. 4 of the
multi-level fusion paper; the linear path, the trained text side and the loss are ours.

The network of the multi-level fusion paper: pictures are mapped to the topics of texts.

Eq. 4: the levels side by side through one hidden layer, widths decreasing, out at the
width of the text. With 4,096 features (mixed9 and fc) it is 4096 → 2048 sigmoid → 500
tanh; on fc alone the same class reads 2,048.

An open-vocabulary similarity that needs no pairs: class probabilities times class names.

ConSE (Norouzi et al., 2014), over all classes and with both sides centred: a picture is
the mean of the text vectors of its classes' names, weighted by their probabilities.

Several two-sided networks as weighted linear kernels in one joined space.

A two-sided network has ``dim``, ``image`` ((n, views, d) → unit (n, dim)) and ``text``
((m, e) → unit (m, dim)). A ``JointSpace`` is one itself, so spaces nest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.networks.part import Part


class PartVectors(nn.Module):
    """One side of every part of a joint space, for export."""

    def __init__(self, space: JointSpace, side: Literal["image", "text"]) -> None:
        super().__init__()
        self.space = space
        self.side = side

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        """Map (n, views, d) of images or (m, e) of texts to unit vectors (n, d_k) a part."""
        return tuple(getattr(self.space, f"{self.side}_vectors")(features))


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


class JointSpace(nn.Module):
    """Sum_k beta_k k_k(image, text) as one inner product.

    Attributes
    ----------
    basis : float32 (sum of dims, dim)
        Orthonormal columns that shorten the joined vector; (0, 0) where it is short enough.
    """

    basis: Tensor

    def __init__(
        self,
        image_features: int,
        text_features: int,
        *,
        parts: Sequence[Part | Mapping[str, Any]],
        dim: int,
    ) -> None:
        super().__init__()
        self.image_features = image_features
        self.text_features = text_features
        self.parts = tuple(Part.model_validate(part) for part in parts)
        built = [part.build() for part in self.parts]
        self.networks: Any = nn.ModuleList(built)
        self.joined = sum(network.dim for network in built)
        self.dim = min(dim, self.joined)
        shape = (self.joined, self.dim) if self.dim < self.joined else (0, 0)
        self.register_buffer("basis", torch.zeros(shape))

    def arguments(self) -> dict[str, Any]:
        """Return what rebuilds this space, as JSON values."""
        parts = [part.model_dump(mode="json", exclude_none=True) for part in self.parts]
        return {"parts": parts, "dim": self.dim}

    def image(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to unit vectors (n, dim)."""
        return self._finish(self.join_images(features))

    def text(self, features: Tensor) -> Tensor:
        """Map (m, e) to unit vectors (m, dim)."""
        return self._finish(self.join_texts(features))

    def join_images(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to the joined vectors (n, joined)."""
        return self._join(self.image_vectors(features))

    def join_texts(self, features: Tensor) -> Tensor:
        """Map (m, e) to the joined vectors (m, joined)."""
        return self._join(self.text_vectors(features))

    def image_vectors(self, features: Tensor) -> list[Tensor]:
        """Map (n, views, d) to the unit vectors (n, d_k) of each part."""
        vectors: list[Tensor] = []
        for part, network in zip(self.parts, self.networks, strict=True):
            read = features if part.on is None else vectors[part.on][:, None]
            vectors.append(network.image(read[:, :, slice(*part.image_span)]))
        return vectors

    def text_vectors(self, features: Tensor) -> list[Tensor]:
        """Map (m, e) to the unit vectors (m, d_k) of each part."""
        vectors: list[Tensor] = []
        for part, network in zip(self.parts, self.networks, strict=True):
            read = features if part.on is None else vectors[part.on]
            vectors.append(network.text(read[:, slice(*part.text_span)]))
        return vectors

    def _join(self, vectors: Sequence[Tensor]) -> Tensor:
        # As ``visita.vectors.join``, again in torch because it is learnt through and exported.
        scaled = [v * p.weight**0.5 for v, p in zip(vectors, self.parts, strict=True)]
        return torch.cat(scaled, dim=-1)

    def _finish(self, joined: Tensor) -> Tensor:
        return functional.normalize(joined @ self.basis if len(self.basis) else joined, dim=-1)


class ImageSide(nn.Module):
    """The image half of a two-sided network as a module of its own, for export."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to unit vectors (n, dim)."""
        unit: Tensor = self.network.image(features)
        return unit


class TextSide(nn.Module):
    """The text half of a two-sided network as a module of its own, for export."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> Tensor:
        """Map (m, e) to unit vectors (m, dim)."""
        unit: Tensor = self.network.text(features)
        return unit
