"""SCAN: Lee, Chen, Hua, Hu & He, "Stacked cross attention for image-text matching" (2018).

Printed there, text to image (t-i): each word attends to the picture's regions, weighted by
softmax(λ s̄) of the cosines s, cut at 0 and divided by their length over the words; a word's
relevance is the cosine of its vector and what it found; the score is their mean (AVG). Image to
text (i-t) is the same with regions asking words. λ is 9 (t-i) and 4 (i-t); words by a GRU from
both ends. There, 36 detected regions and 1,024 dimensions; here the cells of a grid, in fewer.
``both`` is the mean of the two scores in one network, where the paper's ensemble is of two.

Of training is printed: the hardest negative in a batch of 128, margin 0.2, Adam with 5e-4 or
2e-4, gradients no longer than 2, 20 or 30 epochs. Ours: batches of 64, the first epoch against
all negatives, and, as there are fewer epochs, a higher rate. Fewer numbers a cell learn far more
slowly: with 80, which would be 4 KB a picture, two epochs reach a dev rsum of 178 on 300 pictures,
with 256 they reach 265.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from visita.baselines.baseline import CELLS
from visita.baselines.words import (
    BatchLoss,
    CellNetwork,
    PairBaseline,
    all_negatives,
    all_pairs,
    hardest_negative,
)
from visita.networks.losses import Loss
from visita.networks.transformer import RecurrentWords
from visita.training.batches import batch_count
from visita.training.config import ImageLevels, Share
from visita.training.grids import CrossTensors

SHARPNESS = {"t-i": 9.0, "i-t": 4.0}
Direction = Literal["t-i", "i-t", "both"]


class StackedAttention(CellNetwork):
    """A pair network that packs a unit vector a cell and a word; padding is zero."""

    def __init__(
        self,
        cells: int,
        grid_features: int,
        *,
        vocabulary: int,
        dim: int,
        direction: Direction,
        dropout: float = 0.0,
    ) -> None:
        settings = {"vocabulary": vocabulary, "dim": dim, "direction": direction}
        super().__init__("scan", (cells, dim, dim), cells, grid_features, **settings)
        self.directions = ("t-i", "i-t") if direction == "both" else (direction,)
        self.see = nn.Sequential(nn.Dropout(dropout), nn.Linear(grid_features, dim))
        self.read = RecurrentWords(vocabulary, dim, dropout=dropout)

    def image(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to (n, cells, dim)."""
        return functional.normalize(self.see(self.standardised(grid)), dim=-1)

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to (m, t, dim)."""
        return functional.normalize(self.read(tokens, mask), dim=-1)

    def score(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the score of packed pictures (n, cells, dim) and texts (m, t, dim), (n, m)."""
        there = (texts.square().sum(-1) > 0.5).to(texts.dtype)
        cosines = torch.einsum("ncd,mtd->nmtc", images, texts)
        scores = []
        for direction in self.directions:
            if direction == "t-i":
                relevances = relevance(cosines, images[:, None], SHARPNESS["t-i"])
                scores.append((relevances * there).sum(-1) / there.sum(-1))
            else:
                turned = cosines.transpose(2, 3)
                relevances = relevance(turned, texts[None], SHARPNESS["i-t"], there[None, :, None])
                scores.append(relevances.mean(-1))
        return torch.stack(scores).mean(0)


def relevance(
    cosines: Tensor, asked: Tensor, sharpness: float, there: Tensor | None = None
) -> Tensor:
    """Return how well each asking part is answered, (n, m, a).

    Parameters
    ----------
    cosines : float32 (n, m, a, r)
        Of asking and asked parts.
    asked : float32 (n, m, r, d), sizes of 1 for what is shared
        Unit vectors.
    there : float32 that fits (n, m, a, r), optional
        1 for parts that are asked, 0 for padding.
    """
    cut = functional.relu(cosines)
    # Divided by the length over the asking parts: an asked part cannot answer all of them.
    logits = cut * (sharpness / (cut.square().sum(2, keepdim=True) + 1e-8).sqrt())
    if there is not None:
        logits = logits.masked_fill(there == 0, -1e4)
    weights = logits.softmax(-1)
    # The length of Σ w v is that of the form w G w, with G the asked parts' inner products.
    gram = asked @ asked.transpose(-1, -2)
    squares = ((weights @ gram) * weights).sum(-1)
    return (weights * cosines).sum(-1) / (squares + 1e-8).sqrt()


class SCAN(PairBaseline):
    """Stacked cross attention of words and cells."""

    paper: ClassVar[str] = "Lee et al. 2018"

    image_levels: ImageLevels = CELLS
    batch: Annotated[int, Field(ge=2)] = 64
    epochs: Annotated[int, Field(ge=0)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    dropout: Share = 0.2
    margin: Annotated[float, Field(ge=0)] = 0.2
    direction: Direction = "t-i"
    warm_up: Annotated[int, Field(ge=0)] = 1
    """Epochs against all negatives, before the hardest alone."""
    dim: Annotated[int, Field(ge=1, le=1024)] = 256
    """Of a cell and a word: 25 cells of 256 numbers are 13 KB a picture."""
    depth: Annotated[int, Field(ge=1)] = 50

    def made(self, cells: int, features: int, words: int) -> StackedAttention:
        """Return the network, untrained."""
        return StackedAttention(
            *(cells, features),
            vocabulary=words,
            dim=self.dim,
            direction=self.direction,
            dropout=self.dropout,
        )

    def loss(self, network: StackedAttention, train: CrossTensors, words: int) -> BatchLoss:
        """Return the hinge against the negatives of a batch, all at first, then the hardest."""
        del words
        first = self.warm_up * batch_count(train.truth, self.batch)
        return all_pairs(network, train, hardest_after(first, self.margin))


def hardest_after(first: int, margin: float) -> Iterator[Loss]:
    """Yield the loss of each batch: against all negatives at first, then against the hardest.

    Against the hardest alone a network that knows nothing learns hardly anything: the way to a
    lower loss that it sees first is to give all pairs one score.
    """
    yield from repeat(partial(all_negatives, margin=margin), first)
    yield from repeat(partial(hardest_negative, margin=margin))
