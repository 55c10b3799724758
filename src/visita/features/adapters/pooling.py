"""From the output of a layer to a level, by the shape that it has.

For b pictures a layer may return

- (b, d): a vector, which is a level as it is;
- (b, c, h, w) or (b, h, w, c) with h = w: a map of h x w cells;
- (b, tokens, d): each patch is a cell. Class, distillation and register tokens come first
  and are no cells; the class token is a level of its own, ``cls``;
- (b, d, 1): one cell, as from a pool over tokens.

Cells are pooled by ``avg``, ``max`` or ``gem``, or kept as ``grid``, row by row. Where they are a
square, ``5x5`` averages them to 25, so that grids of different layers and encoders fit together.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isqrt
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

CELLS = ("avg", "max", "gem", "grid")
SQUARE = "5x5"
SIDE = 5
GEM_POWER = 3.0
GEM_FLOOR = 1e-6
"""Generalised-mean pooling: Radenović et al. (2019), "Fine-tuning CNN Image Retrieval with No
Human Annotation", eq. 3, with the power and the floor of their code."""

CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
OTHER_TOKENS = ("distillation_token", "dist_token", "register_tokens", "reg_token")
"""What torchvision, timm and transformers call the tokens before the patches."""


class Tokens:
    """The tokens that a network puts before its patches.

    They are parameters of the network, so names and shapes tell how many there are.
    """

    def __init__(self, network: nn.Module) -> None:
        named = [(name.rpartition(".")[2], values) for name, values in network.named_parameters()]
        self.has_class = any(name in CLASS_TOKENS for name, _ in named)
        self.count = sum(
            values.shape[-2] if values.ndim > 1 else 1
            for name, values in named
            if name in CLASS_TOKENS + OTHER_TOKENS
        )

    def before_patches(self, length: int) -> int:
        """Return how many of ``length`` tokens come before a square of patches."""
        patches = max(0, length - self.count)
        return self.count if patches and isqrt(patches) ** 2 == patches else 0


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor of what a layer returned, or None."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    return first_tensor(output[0]) if isinstance(output, tuple | list) and output else None


def poolings(output: Tensor, tokens: Tokens) -> tuple[str, ...]:
    """Return the poolings that fit a layer's output: ("",) for a vector, () where none does."""
    if output.ndim == 2:
        return ("",)
    is_map = output.ndim == 4 and (_is_square(output, 2, 3) or _is_square(output, 1, 2))
    if output.ndim != 3 and not is_map:
        return ()
    count = _cells(output, tokens).shape[1]
    found = (*CELLS, SQUARE) if count > 1 and isqrt(count) ** 2 == count else CELLS
    has_class = output.ndim == 3 and tokens.has_class and tokens.before_patches(output.shape[1]) > 0
    return (*found, "cls") if has_class and output.shape[2] > 1 else found


def pooled(output: Tensor, pooling: str, tokens: Tokens) -> Tensor:
    """Return a level, float32: (b, d), or (b, cells, d) for ``grid`` and ``5x5``."""
    output = output.float()
    if pooling == "":
        return output.clone()
    if pooling == "cls":
        return output[:, 0].clone()
    cells = _cells(output, tokens)
    if pooling == "avg":
        return cells.mean(1)
    if pooling == "max":
        return cells.amax(1)
    if pooling == "gem":
        return cells.clamp(min=GEM_FLOOR).pow(GEM_POWER).mean(1).pow(1 / GEM_POWER)
    return _averaged(cells) if pooling == SQUARE else cells.clone()


def _averaged(cells: Tensor) -> Tensor:
    side = isqrt(cells.shape[1])
    maps = cells.transpose(1, 2).reshape(-1, cells.shape[2], side, side)
    return adaptive_avg_pool2d(maps, SIDE).flatten(2).transpose(1, 2)


def _cells(output: Tensor, tokens: Tokens) -> Tensor:
    if output.ndim == 3 and output.shape[2] == 1:
        return output.transpose(1, 2)
    if output.ndim == 3:
        return output[:, tokens.before_patches(output.shape[1]) :]
    if _is_square(output, 2, 3):  # channels first; also where all three sides are equal
        return output.flatten(2).transpose(1, 2)
    return output.flatten(1, 2)


def _is_square(output: Tensor, one: int, other: int) -> bool:
    return output.shape[one] == output.shape[other]
