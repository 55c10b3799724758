"""Training NIC / m-RNN: Vinyals et al. (2015), Mao et al. (2015), by likelihood.

As ``visita.networks.classical.captioner`` tells. Ours: Adam, and the epoch that ranks best on a
few pictures of dev.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from visita.networks.classical.captioner import CROWD, END, Captioner
from visita.training.batches import Batch
from visita.training.classical.pairs import PairBaseline
from visita.training.classical.words import BatchLoss, pack_images
from visita.training.config import Share
from visita.training.cross_modal import CrossTensors


class NIC(PairBaseline):
    """A recurrent captioner: ranks by likelihood, and writes captions."""

    paper: ClassVar[str] = "Vinyals et al. 2015, Mao et al. 2015"
    validated: ClassVar[int] = 100

    vocabulary: Annotated[int, Field(ge=1)] = 3000
    batch: Annotated[int, Field(ge=2)] = 64
    epochs: Annotated[int, Field(ge=0)] = 4
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    dropout: Share = 0.3
    dim: Annotated[int, Field(ge=1, le=2048)] = 256
    depth: Annotated[int, Field(ge=1)] = 100

    def made(self, cells: int, features: int, words: int) -> Captioner:
        """Return the network, untrained."""
        return Captioner(cells, features, vocabulary=words, dim=self.dim, dropout=self.dropout)

    def loss(self, network: Captioner, train: CrossTensors, words: int) -> BatchLoss:
        """Return the negative log-likelihood of the words of true captions."""
        crowd = np.random.default_rng([self.seed, 1]).integers(len(train.grids), size=CROWD)
        some = train.grids[crowd].astype(np.float32).mean(axis=1)
        network.crowd.copy_(torch.from_numpy(some))

        def loss(batch: Batch) -> tuple[Tensor, float]:
            numbers, mask = (torch.from_numpy(one) for one in train.tokens.padded(batch.texts))
            inputs = functional.pad(numbers, (1, 0), value=END)
            following = functional.pad(numbers, (0, 1), value=END)
            there = functional.pad(mask, (1, 0), value=True)
            images = pack_images(network, train, batch.images)
            found = network.likelihood(images, network.embed(inputs), following)
            return -found[there].mean(), math.log(words)

        return loss
