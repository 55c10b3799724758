"""Training SCAN: Lee et al. (2018), as ``visita.networks.classical.scan`` tells.

Printed: the hardest negative in a batch of 128, margin 0.2, Adam with 5e-4 or 2e-4, gradients
no longer than 2, 20 or 30 epochs. Ours: batches of 64, the first epoch against all negatives,
and, as there are fewer epochs, a higher rate. Fewer numbers a cell learn far more slowly: with
80, which would be 4 KB a picture, two epochs reach a dev rsum of 178 on 300 pictures, with 256
they reach 265.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import repeat
from typing import Annotated, ClassVar

from pydantic import Field

from visita.networks.classical.losses import all_negatives, hardest_negative
from visita.networks.classical.scan import Direction, StackedAttention
from visita.training.batches import batch_count
from visita.training.classical.baseline import CELLS
from visita.training.classical.pairs import PairBaseline
from visita.training.classical.words import BatchLoss, Measure, all_pairs
from visita.training.config import ImageLevels, Share
from visita.training.cross_modal import CrossTensors


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


def hardest_after(first: int, margin: float) -> Iterator[Measure]:
    """Yield the loss of each batch: against all negatives at first, then against the hardest.

    Against the hardest alone a network that knows nothing learns hardly anything: the way to a
    lower loss that it sees first is to give all pairs one score.
    """
    yield from repeat(partial(all_negatives, margin=margin), first)
    yield from repeat(partial(hardest_negative, margin=margin))
