"""All pictures beside all texts, for systems that know no shorter way to score them."""

from __future__ import annotations

import torch
from torch import Tensor


def every_pair(images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows (n m, …) of pictures (n, r, e) and of texts (m, t, d), picture by picture."""
    # Multiplied, not expanded to a size: an exported graph takes any number of pictures.
    left = images[:, None] * torch.ones_like(texts[None, :, :1, :1])
    right = texts[None] * torch.ones_like(images[:, None, :1, :1])
    return left.flatten(0, 1), right.flatten(0, 1)
