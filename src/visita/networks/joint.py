"""Several two-sided networks as weighted linear kernels in one joined space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from visita.networks import NETWORKS


class Part(BaseModel):
    """One kernel: a network by name, the features it reads, and its weight beta."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    arguments: dict[str, Any]
    image_span: tuple[int, int]
    """First and last-but-one of the image features it reads."""
    text_span: tuple[int, int]
    weight: float


class JointSpace(nn.Module):
    """Sum_k beta_k k_k(image, text) as one inner product (design: kernel combination).

    Attributes
    ----------
    basis : float32 (sum of dims, dim)
        Orthonormal columns that shorten the joined vector; empty where it is short enough.
    """

    basis: Tensor

    def __init__(self, parts: Sequence[Part], dim: int) -> None:
        super().__init__()
        self.parts = tuple(parts)
        built = [
            NETWORKS.load(part.network)(
                part.image_span[1] - part.image_span[0],
                part.text_span[1] - part.text_span[0],
                **part.arguments,
            )
            for part in parts
        ]
        self.networks: Any = nn.ModuleList(built)
        self.joined = sum(network.dim for network in built)
        self.dim = min(dim, self.joined)
        shape = (self.joined, self.dim) if self.dim < self.joined else (0, 0)
        self.register_buffer("basis", torch.zeros(shape))

    def join_images(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to the joined vectors (n, joined), averaged over the views."""
        vectors = []
        for part, network in zip(self.parts, self.networks, strict=True):
            start, stop = part.image_span
            views = [network.image(features[:, v, start:stop]) for v in range(features.shape[1])]
            mean = functional.normalize(torch.stack(views).mean(0), dim=-1)
            vectors.append(part.weight**0.5 * mean)
        return torch.cat(vectors, dim=-1)

    def join_texts(self, features: Tensor) -> Tensor:
        """Map (m, e) to the joined vectors (m, joined)."""
        vectors = []
        for part, network in zip(self.parts, self.networks, strict=True):
            start, stop = part.text_span
            vectors.append(part.weight**0.5 * network.text(features[:, start:stop]))
        return torch.cat(vectors, dim=-1)

    def finish(self, joined: Tensor) -> Tensor:
        """Shorten joined vectors where a basis is set, and scale them to unit length."""
        return functional.normalize(joined @ self.basis if len(self.basis) else joined, dim=-1)


class ImageSide(nn.Module):
    """The image half as a module of its own, for export: (n, views, d) → (n, dim)."""

    def __init__(self, space: JointSpace) -> None:
        super().__init__()
        self.space = space

    def forward(self, features: Tensor) -> Tensor:
        """Return unit vectors, float32 (n, dim)."""
        return self.space.finish(self.space.join_images(features))


class TextSide(nn.Module):
    """The text half as a module of its own, for export: (m, e) → (m, dim)."""

    def __init__(self, space: JointSpace) -> None:
        super().__init__()
        self.space = space

    def forward(self, features: Tensor) -> Tensor:
        """Return unit vectors, float32 (m, dim)."""
        return self.space.finish(self.space.join_texts(features))
