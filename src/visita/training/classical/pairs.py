"""What systems share that look at pairs: a second stage, after vectors found in closed form."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from visita.features.vocabulary import Vocabulary
from visita.matchers.two_stage import DEPTH
from visita.training.classical.baseline import WordBaseline
from visita.training.classical.cca import CCA
from visita.training.classical.words import BatchLoss, scores_of, train_on_words
from visita.training.cross_modal import CrossTensors, ValidateScores
from visita.training.loop import History


class PairBaseline(WordBaseline):
    """A system that scores pairs, where the vectors of CCA have found the first few."""

    validated: ClassVar[int] = 300
    """Pictures of dev that choose the epoch, with all their texts and all pairs of both."""

    first: CCA = CCA()
    """What finds; its own seed is not used."""
    weight: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Of the score beside the cosine of the vectors: alone, as the papers have it."""
    depth: Annotated[int, Field(ge=1)] = DEPTH
    """How many of the first stage's best it looks at."""

    def check(self) -> None:
        """Refuse what either stage cannot read."""
        super().check()
        self.first.check()

    @abstractmethod
    def made(self, cells: int, features: int, words: int) -> Any:
        """Return the network, untrained."""

    @abstractmethod
    def loss(self, network: Any, train: CrossTensors, words: int) -> BatchLoss:
        """Return what is minimised; ``words`` is the size of the vocabulary."""

    def learn(
        self,
        train: CrossTensors,
        dev: CrossTensors,
        validate: ValidateScores,
        vocabulary: Vocabulary,
    ) -> tuple[Any, History]:
        """Return the network, and what happened."""
        torch.manual_seed(self.seed)
        _, cells, features = train.grids.shape
        network = self.made(cells, features, len(vocabulary))
        loss = self.loss(network, train, len(vocabulary))
        return network, train_on_words(
            network, train, lambda: validate(scores_of(network, dev)), self, loss
        )
