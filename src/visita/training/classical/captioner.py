"""Training NIC / m-RNN: Vinyals et al. (2015), Mao et al. (2015), by likelihood.

As ``visita.networks.classical.captioner`` tells. Ours: Adam, and the epoch that ranks best on a
few pictures of dev.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from visita.features.vocabulary import Vocabulary
from visita.networks.classical.captioner import END, Captioner
from visita.training.batches import Batch
from visita.training.classical.pairs import PairBaseline
from visita.training.classical.words import BatchLoss, pack_images, scores_of, train_on_words
from visita.training.config import Share
from visita.training.cross_modal import CrossTensors, ValidateScores
from visita.training.loop import History


class NIC(PairBaseline):
    """A recurrent captioner: ranks by likelihood, and writes captions."""

    validated: ClassVar[int] = 100

    vocabulary: Annotated[int, Field(ge=1)] = 3000
    batch: Annotated[int, Field(ge=2)] = 64
    epochs: Annotated[int, Field(ge=0)] = 8
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    dropout: Share = 0.3
    dim: Annotated[int, Field(ge=1, le=2048)] = 256

    def learn(
        self,
        train: CrossTensors,
        dev: CrossTensors,
        validate: ValidateScores,
        vocabulary: Vocabulary,
    ) -> tuple[Captioner, History]:
        """Return the network, and what happened."""
        torch.manual_seed(self.seed)
        _, cells, features = train.grids.shape
        network = Captioner(
            *(cells, features), vocabulary=len(vocabulary), dim=self.dim, dropout=self.dropout
        )
        loss = _loss(network, train, len(vocabulary))
        return network, train_on_words(
            network, train, lambda: validate(scores_of(network, dev)), self, loss
        )


def _loss(network: Captioner, train: CrossTensors, words: int) -> BatchLoss:
    def loss(batch: Batch) -> tuple[Tensor, float]:
        numbers, mask = (torch.from_numpy(one) for one in train.tokens.padded(batch.texts))
        inputs = functional.pad(numbers, (1, 0), value=END)
        following = functional.pad(numbers, (0, 1), value=END)
        there = functional.pad(mask, (1, 0), value=True)
        images = pack_images(network, train, batch.images)
        found = network.likelihood(images, network.embed(inputs), following)
        return -found[there].mean(), math.log(words)

    return loss
