"""Several two-sided networks as weighted linear kernels in one joined space.

A two-sided network has ``dim``, ``image`` ((n, views, d) → unit (n, dim)) and ``text``
((m, e) → unit (m, dim)). A ``JointSpace`` is one itself, so spaces nest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from visita.networks import NETWORKS


class Part(BaseModel):
    """One kernel: a network by name, the features it reads (ends exclusive), its weight beta.

    ``on`` is the place of an earlier part whose vectors it reads instead of features.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    arguments: dict[str, Any]
    image_span: tuple[int, int]
    text_span: tuple[int, int]
    weight: Annotated[float, Field(ge=0)]
    on: Annotated[int, Field(ge=0)] | None = None

    def build(self) -> Any:
        """Return the network, its tensors not yet set."""
        image_start, image_stop = self.image_span
        text_start, text_stop = self.text_span
        return NETWORKS.load(self.network)(
            image_stop - image_start, text_stop - text_start, **self.arguments
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
        found: list[Tensor] = []
        for part, network in zip(self.parts, self.networks, strict=True):
            read = features if part.on is None else found[part.on][:, None]
            found.append(network.image(read[:, :, slice(*part.image_span)]))
        return found

    def text_vectors(self, features: Tensor) -> list[Tensor]:
        """Map (m, e) to the unit vectors (m, d_k) of each part."""
        found: list[Tensor] = []
        for part, network in zip(self.parts, self.networks, strict=True):
            read = features if part.on is None else found[part.on]
            found.append(network.text(read[:, slice(*part.text_span)]))
        return found

    def _join(self, vectors: Sequence[Tensor]) -> Tensor:
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
