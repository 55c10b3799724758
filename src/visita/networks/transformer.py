"""Transformer blocks, as the visual transformer and the text transformer use them.

Eqs. 4 and 5 of the MKL-VisITA paper: softmax(Q Kᵀ / √d) V in several heads side by side.
"""

from __future__ import annotations

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
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None, :]
        )
        x = x + self.dropout(self.mix_heads(seen.transpose(1, 2).reshape(n, t, width)))
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
