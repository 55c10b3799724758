"""SigLIP 2 for pictures in their own shape (NaFlex; Tschannen et al., 2025, section 2.4.2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from visita.encoders.library.patches import BYTE, PatchPreparation


class Unpacked(nn.Module):
    """From the canvas of a ``PatchPreparation``, normalised, to what it holds."""

    mean: Tensor
    std: Tensor

    def __init__(self, preparation: PatchPreparation) -> None:
        super().__init__()
        self.preparation = preparation
        for name in ("mean", "std"):
            self.register_buffer(name, torch.tensor(getattr(preparation, name)))

    def forward(self, canvas: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map (b, 3, side, side) to patches (b, most, 3 patch²), heights and widths, int64 (b, 1).

        Then which patches are the picture's, bool (b, most); the rest are 0, as in the library.
        Of any other pixels, with which a graph is made and tried, no more than ``most`` are read.
        """
        cells, patch, most = self.preparation.cells, self.preparation.patch, self.preparation.most
        grid = canvas.reshape(-1, 3, cells, patch, cells, patch)
        patches = grid.permute(0, 2, 4, 3, 5, 1).reshape(-1, cells**2, 3 * patch**2)
        told = patches[:, -1, :6].reshape(-1, 2, 3) * self.std + self.mean
        tens, ones, _ = (told * self.preparation.divisor).round().to(torch.int64).unbind(-1)
        shape = (tens * BYTE + ones).clamp(1, most)
        high = shape[:, :1]
        wide = torch.minimum(shape[:, 1:], most // high)
        read = torch.arange(most) < high * wide
        return torch.where(read[..., None], patches[:, :most], 0.0), high, wide, read


class PatchTower(nn.Module):
    """The picture tower of SigLIP 2 (NaFlex), with the levels of a ``PictureTower``.

    The cells of a level are the picture's patches, row by row; what is left over of ``most``
    holds their mean, so that averages are those of the picture.
    """

    def __init__(self, vision: Any, projection: nn.Module, preparation: PatchPreparation) -> None:
        super().__init__()
        layers = list(vision.encoder.layers)
        self.levels = [nn.Identity() for _ in layers]
        for number, level in enumerate(self.levels, 1):
            self.add_module(f"layer{number}", level)
        self.tokens = nn.Identity()
        self.vector = projection
        self.vision = vision
        self.unpacked = Unpacked(preparation)
        self.positions = Positions(vision.embeddings, preparation.most)

    def forward(self, pixels: Tensor) -> Tensor:
        """Map a normalised canvas, float32 (b, 3, side, side), to vectors (b, d)."""
        patches, high, wide, read = self.unpacked(pixels)
        hidden = torch.where(read, 0.0, torch.finfo(torch.float32).min)[:, None, None]
        states = self.vision.embeddings.patch_embedding(patches) + self.positions(high, wide)
        for layer, level in zip(self.vision.encoder.layers, self.levels, strict=True):
            states = layer(states, hidden)
            level(_filled(states, read))
        states = self.vision.post_layernorm(states)
        self.tokens(_filled(states, read))
        return self.vector(self.vision.head(states, read))  # type: ignore[no-any-return]


class Positions(nn.Module):
    """Position embeddings resized to each picture's shape.

    transformers resizes them by ``interpolate`` with antialiasing, one picture at a time. That is
    a matrix for each axis, so all matrices are kept and looked up: any shape in one graph.
    """

    matrices: Tensor

    def __init__(self, embeddings: Any, most: int) -> None:
        super().__init__()
        side = embeddings.position_embedding_size
        self.most = most
        self.embedding = embeddings.position_embedding
        matrices = torch.stack([_resizing(side, length, most) for length in range(most + 1)])
        self.register_buffer("matrices", matrices)  # (most + 1, most, side)

    def forward(self, high: Tensor, wide: Tensor) -> Tensor:
        """Map heights and widths in patches, int64 (b, 1), to embeddings (b, most, d)."""
        places = torch.arange(self.most)
        rows = self.matrices[high, places // wide]  # (b, most, side)
        columns = self.matrices[wide, places % wide]
        both = (rows[..., :, None] * columns[..., None, :]).flatten(2)
        return both @ self.embedding.weight  # type: ignore[no-any-return]


def _resizing(side: int, length: int, most: int) -> Tensor:
    """Return the matrix that resizes ``side`` values to ``length``: (most, side), rest zeros."""
    matrix = torch.zeros(most, side)
    if length:
        matrix[:length] = nn.functional.interpolate(
            torch.eye(side)[None, None], size=(length, side), mode="bilinear", antialias=True
        )[0, 0]
    return matrix


def _filled(states: Tensor, read: Tensor) -> Tensor:
    weights = read[..., None].to(states.dtype)
    mean = (states * weights).sum(1, keepdim=True) / weights.sum(1, keepdim=True)
    return torch.where(read[..., None], states, mean)
