"""The text sides of MKL-VisITA: tokens in, one vector a word out.

A text side maps ``tokens`` and ``mask``, bool (m, t), to (m, t, width); ``tokens`` are
vectors of a pretrained encoder, (m, t, d), or numbers of a vocabulary's words, int64 (m, t).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visita.networks.transformer import Transformer


class PretrainedWords(nn.Module):
    """Contextual token vectors of a frozen encoder, standardised and mapped linearly.

    Attributes
    ----------
    mean, scale : float32 (d,)
        Training statistics of the tokens.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, features: int, width: int, *, input_dropout: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.map = nn.Sequential(nn.Dropout(input_dropout), nn.Linear(features, width))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map (m, t, d) to (m, t, width)."""
        mapped: Tensor = self.map((tokens - self.mean) / self.scale)
        return mapped * mask[..., None]


class RecurrentWords(nn.Module):
    """Embedded words read by a gated recurrent network from both ends; the two are averaged."""

    def __init__(self, vocabulary: int, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Embedding(vocabulary, width), nn.Dropout(dropout))
        self.forwards = nn.GRU(width, width, batch_first=True)
        self.backwards = nn.GRU(width, width, batch_first=True)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to (m, t, width)."""
        x = self.embed(tokens)
        # Each text is turned around within its own length, so that padding is read last.
        places = torch.arange(mask.shape[1], device=x.device)[None]
        turned = ((mask.sum(1, keepdim=True) - 1 - places) % mask.shape[1])[..., None].expand_as(x)
        ahead, _ = self.forwards(x)
        back, _ = self.backwards(x.gather(1, turned))
        both: Tensor = (ahead + back.gather(1, turned)) / 2 * mask[..., None]
        return both


class TransformedWords(nn.Module):
    """Embedded words and places read by a transformer."""

    def __init__(
        self,
        vocabulary: int,
        longest: int,
        width: int,
        *,
        heads: int,
        depth: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Embedding(vocabulary, width), nn.Dropout(dropout))
        self.places = nn.Parameter(torch.zeros(longest, width))
        self.transformer = Transformer(width, heads, depth, dropout)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t), t at most ``longest``, to (m, t, width)."""
        x = self.embed(tokens) + self.places[: tokens.shape[1]]
        mixed: Tensor = self.transformer(x, mask)
        return mixed * mask[..., None]
