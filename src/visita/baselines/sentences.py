"""CNN features and a recurrent network over words in one space: UVS and VSE++.

Kiros, Salakhutdinov & Zemel, "Unifying visual-semantic embeddings with multimodal neural
language models" (2014); Faghri et al., "VSE++: Improving visual-semantic embeddings with hard
negatives" (2018). Printed there: a linear map of CNN features, word vectors of 300 read by an
LSTM (UVS) or a GRU (VSE++) whose last state is the sentence, cosines. Ours: a GRU in both, and
narrower (the papers use 1,024), so that it is trained in minutes on one core.

The losses, printed: UVS, the sum over all negatives of a batch, margin 0.2; VSE++, the hardest
one, margin 0.2, batches of 128, Adam with 2e-4, images as they are (frozen). They train VSE++ for
30 epochs; here dev chooses among fewer, and the rate is higher in turn.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from itertools import repeat
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from visita.baselines.baseline import WordBaseline
from visita.baselines.words import (
    VectorNetwork,
    all_negatives,
    all_pairs,
    hardest_negative,
    train_on_words,
    vectors_of,
)
from visita.encoders.vocabulary import Vocabulary
from visita.networks.losses import Loss
from visita.training.config import Share
from visita.training.grids import CrossTensors
from visita.training.loop import History
from visita.training.tuning import Validate

WORD = 300


class SentenceSpace(VectorNetwork):
    """A pair network that packs one unit vector a picture or text."""

    def __init__(
        self, cells: int, grid_features: int, *, vocabulary: int, dim: int, dropout: float = 0.0
    ) -> None:
        settings = {"vocabulary": vocabulary, "dim": dim}
        super().__init__("sentences", (1, dim, dim), cells, grid_features, **settings)
        self.see = nn.Sequential(nn.Dropout(dropout), nn.Linear(grid_features, dim))
        self.embed = nn.Sequential(nn.Embedding(vocabulary, WORD), nn.Dropout(dropout))
        self.read = nn.GRU(WORD, dim, batch_first=True)

    def image(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to (n, 1, dim): the mean cell; one cell is a pooled feature."""
        return functional.normalize(self.see(self.standardised(grid).mean(1, keepdim=True)), dim=-1)

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to (m, 1, dim): the state after the last word."""
        states, _ = self.read(self.embed(tokens))
        last = (mask.sum(1) - 1)[:, None, None].expand(-1, 1, states.shape[2])
        return functional.normalize(states.gather(1, last), dim=-1)


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

    def loss(self) -> Loss:
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

    def loss(self) -> Loss:
        """Return what is minimised."""
        return partial(hardest_negative, margin=self.margin)
