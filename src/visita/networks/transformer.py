"""Transformer blocks, and the text sides of MKL-VisITA: tokens in, one vector a word out.

Eqs. 4 and 5 of the MKL-VisITA paper: softmax(Q Kᵀ / √d) V in several heads side by side.

The text sides of MKL-VisITA: tokens in, one vector a word out.

A text side maps ``tokens`` and ``mask``, bool (m, t), to (m, t, width); ``tokens`` are
vectors of a pretrained encoder, (m, t, d), or numbers of a vocabulary's words, int64 (m, t).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

MOST_BLOCKS = 100


class Block(nn.Module):
    """Self-attention and a two-layer perceptron, each added to what comes in (pre-norm).

    Both end in zeros at first, so a new block changes nothing and depth has to be learnt.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.before_attention = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix_heads = _zeros(nn.Linear(width, width))
        self.before_mlp = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            _zeros(nn.Linear(2 * width, width)),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (n, t, width) to the same shape; what ``mask``, bool (n, t), leaves out is unseen."""
        n, t, width = x.shape
        parts = self.query_key_value(self.before_attention(x))
        query, key, value = parts.view(n, t, 3, self.heads, width // self.heads).permute(
            2, 0, 3, 1, 4
        )
        attended = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None, :]
        )
        x = x + self.dropout(self.mix_heads(attended.transpose(1, 2).reshape(n, t, width)))
        out: Tensor = x + self.dropout(self.mlp(self.before_mlp(x)))
        return out


class Transformer(nn.Module):
    """``depth`` blocks one after the other.

    Raises
    ------
    ValueError
        If they are more than ``MOST_BLOCKS``: a stranger's matcher may ask for any number.
    """

    def __init__(self, width: int, heads: int, depth: int, dropout: float) -> None:
        super().__init__()
        if depth > MOST_BLOCKS:
            raise ValueError(f"a transformer has at most {MOST_BLOCKS} blocks")
        self.blocks = nn.ModuleList([Block(width, heads, dropout) for _ in range(depth)])

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map (n, t, width) to the same shape."""
        for block in self.blocks:
            x = block(x, mask)
        return x


def _zeros(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


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
        states: Tensor = (ahead + back.gather(1, turned)) / 2 * mask[..., None]
        return states


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
