"""Training SCAN: Lee et al. (2018), as ``visita.networks.classical.scan`` tells.

Printed: the hardest negative in a batch of 128, margin 0.2, Adam with 5e-4 or 2e-4, gradients
no longer than 2. Ours: batches of 64, and the best epoch on dev.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, ClassVar

from pydantic import Field

from visita.errors import ConfigError
from visita.features.cells import cell_count
from visita.features.pictures import RecipeEncoder
from visita.networks.classical.losses import hardest_negative
from visita.networks.classical.scan import Direction, StackedAttention
from visita.training.classical.baseline import CELLS
from visita.training.classical.pairs import PairBaseline
from visita.training.classical.words import BatchLoss, all_pairs
from visita.training.config import ImageLevels, Share
from visita.training.cross_modal import CrossTensors

MOST_BYTES = 4096
"""Of a packed picture."""


class SCAN(PairBaseline):
    """Stacked cross attention of words and cells."""

    paper: ClassVar[str] = "Lee et al. 2018"

    image_levels: ImageLevels = CELLS
    batch: Annotated[int, Field(ge=2)] = 64
    epochs: Annotated[int, Field(ge=0)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    dropout: Share = 0.2
    margin: Annotated[float, Field(ge=0)] = 0.2
    direction: Direction = "t-i"
    dim: Annotated[int, Field(ge=1)] = 80
    """Of a cell and a word: 25 cells of 80 numbers are 4 KB."""

    def check(self) -> None:
        """Refuse levels that do not fit together, and pictures that would take over 4 KB."""
        super().check()
        cells = cell_count(RecipeEncoder(self.recipe()).columns())
        if cells * self.dim * 2 > MOST_BYTES:
            raise ConfigError(
                f"{cells} cells of dim={self.dim} take more than 4 KB a picture: set dim to "
                f"{MOST_BYTES // 2 // cells} at most."
            )

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
        """Return the hinge against the hardest negatives of a batch."""
        del words
        return all_pairs(network, train, partial(hardest_negative, margin=self.margin))
