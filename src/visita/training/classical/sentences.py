"""Training UVS and VSE++: one network, two losses.

Kiros et al. (2014): the sum over all negatives of a batch, margin 0.2. Faghri et al. (2018):
the hardest one, margin 0.2, batches of 128, Adam with 2e-4, images as they are (frozen). They
train VSE++ for 30 epochs; here dev chooses among fewer, and the rate is higher in turn.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from itertools import repeat
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from visita.features.vocabulary import Vocabulary
from visita.networks.classical.losses import all_negatives, hardest_negative
from visita.networks.classical.sentences import SentenceSpace
from visita.training.classical.baseline import Validate, WordBaseline
from visita.training.classical.words import Measure, all_pairs, train_on_words, vectors_of
from visita.training.config import Share
from visita.training.cross_modal import CrossTensors
from visita.training.loop import History


class VectorWords(WordBaseline):
    """What systems share that make one vector of a text's words, under a margin loss."""

    batch: Annotated[int, Field(ge=2)] = 128
    epochs: Annotated[int, Field(ge=0)] = 10
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    dropout: Share = 0.3
    margin: Annotated[float, Field(ge=0)] = 0.2

    @abstractmethod
    def made(self, cells: int, features: int, words: int) -> Any:
        """Return the network, untrained."""

    def loss(self) -> Measure:
        """Return what is minimised."""
        return partial(all_negatives, margin=self.margin)

    def learn(
        self, train: CrossTensors, dev: CrossTensors, validate: Validate, vocabulary: Vocabulary
    ) -> tuple[Any, History]:
        """Return the network, and what happened."""
        torch.manual_seed(self.seed)
        _, cells, features = train.grids.shape
        network = self.made(cells, features, len(vocabulary))

        def score() -> float:
            return validate(*vectors_of(network, dev))

        loss = all_pairs(network, train, repeat(self.loss()))
        return network, train_on_words(network, train, score, self, loss)


class UVS(VectorWords):
    """A CNN and a GRU in one space, all negatives."""

    paper: ClassVar[str] = "Kiros et al. 2014"

    dim: Annotated[int, Field(ge=1, le=1024)] = 512

    def made(self, cells: int, features: int, words: int) -> SentenceSpace:
        """Return the network, untrained."""
        return SentenceSpace(cells, features, vocabulary=words, dim=self.dim, dropout=self.dropout)


class VSEPlusPlus(UVS):
    """A CNN and a GRU in one space, the hardest negative."""

    paper: ClassVar[str] = "Faghri et al. 2018"

    def loss(self) -> Measure:
        """Return what is minimised."""
        return partial(hardest_negative, margin=self.margin)
