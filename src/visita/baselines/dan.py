"""DAN: Nam, Ha & Kim, "Dual attention networks for multimodal reasoning and matching" (2017).

Its m-DAN, for matching: each side keeps a memory of its own, attends with it to its own cells
or words, and adds what it found; the similarity is the sum over the steps of the inner products
of what both found. No side looks at the other, so that the found vectors laid end to end are
one vector a picture and a text, and their inner product is that sum: it is a first stage.

Printed there: K = 2 steps, attention softmax(W_h (tanh(W_v v) ⊙ tanh(W_m m))), a tanh layer on
what the picture's attention found, a bidirectional LSTM over words. Ours: a GRU, narrower
memories, vectors of unit length as a matcher's are (the paper compares inner products with a
margin of 100), and all negatives of a batch.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from visita.baselines.baseline import CELLS
from visita.baselines.sentences import VectorWords
from visita.baselines.words import VectorNetwork
from visita.errors import ConfigError
from visita.networks.transformer import RecurrentWords
from visita.training.config import ImageLevels

STEPS = 2


class DualAttention(VectorNetwork):
    """A pair network that packs one unit vector: the starts and ``STEPS`` steps end to end.

    Parameters
    ----------
    dim : int
        Of the vectors, a multiple of ``STEPS + 1``.
    """

    def __init__(
        self, cells: int, grid_features: int, *, vocabulary: int, dim: int, dropout: float = 0.0
    ) -> None:
        settings = {"vocabulary": vocabulary, "dim": dim}
        super().__init__("dan", (1, dim, dim), cells, grid_features, **settings)
        width = dim // (STEPS + 1)
        self.dropout = nn.Dropout(dropout)
        self.found = nn.ModuleList(nn.Linear(grid_features, width) for _ in range(STEPS + 1))
        self.read = RecurrentWords(vocabulary, width, dropout=dropout)
        self.look = nn.ModuleList(Attention(grid_features, width) for _ in range(STEPS))
        self.listen = nn.ModuleList(Attention(width, width) for _ in range(STEPS))

    def image(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to (n, 1, dim)."""
        cells = self.dropout(self.standardised(grid))
        mask = torch.ones_like(cells[..., 0], dtype=torch.bool)
        steps = [torch.tanh(self.found[0](cells.mean(1)))]
        for layer, attend in zip(self.found[1:], self.look, strict=True):
            steps.append(torch.tanh(layer(attend(cells, mask, torch.stack(steps).sum(0)))))
        return functional.normalize(torch.cat(steps, -1), dim=-1)[:, None]

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to (m, 1, dim)."""
        words = self.read(tokens, mask)
        steps = [words.sum(1) / mask.sum(1, keepdim=True)]
        for attend in self.listen:
            steps.append(attend(words, mask, torch.stack(steps).sum(0)))
        return functional.normalize(torch.cat(steps, -1), dim=-1)[:, None]


class Attention(nn.Module):
    """Σ α_r x_r with α = softmax(w (tanh(W x_r) ⊙ tanh(M m))), where m is the memory."""

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.of_part = nn.Linear(features, width)
        self.of_memory = nn.Linear(width, width)
        self.weigh = nn.Linear(width, 1)

    def forward(self, parts: Tensor, mask: Tensor, memory: Tensor) -> Tensor:
        """Map parts (n, r, d), where they are (n, r) and memories (n, width) to (n, d)."""
        hidden = torch.tanh(self.of_part(parts)) * torch.tanh(self.of_memory(memory))[:, None]
        logits = self.weigh(hidden)[..., 0].masked_fill(~mask, float("-inf"))
        attended: Tensor = (logits.softmax(1)[:, None] @ parts)[:, 0]
        return attended


class DAN(VectorWords):
    """Dual attention: pictures and texts attend to their own cells and words."""

    paper: ClassVar[str] = "Nam et al. 2017"

    image_levels: ImageLevels = CELLS
    dim: Annotated[int, Field(ge=STEPS + 1, le=1024)] = 510
    """Of the vectors: all steps together."""

    def made(self, cells: int, features: int, words: int) -> DualAttention:
        """Return the network, untrained."""
        return DualAttention(cells, features, vocabulary=words, dim=self.dim, dropout=self.dropout)

    @model_validator(mode="after")
    def _refuse_what_steps_cannot_share(self) -> Self:
        if self.dim % (STEPS + 1):
            raise ConfigError(f"dim={self.dim} cannot be shared by {STEPS + 1} steps.")
        return self
