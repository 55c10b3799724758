"""Training m-CNN: Ma et al. (2015), as ``visita.networks.classical.mcnn`` tells.

Printed: hinge loss with random negatives, margin 0.5, dropout, early stopping on dev. Ours: of
eight random false pictures and of eight texts out of a pair's batch, the one with the highest
score; and Adam for SGD.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from visita.networks.classical.mcnn import WORDS, Level, MultimodalCNN
from visita.training.batches import Batch
from visita.training.classical.pairs import PairBaseline
from visita.training.classical.words import BatchLoss, pack_images, pack_texts
from visita.training.config import Share
from visita.training.cross_modal import CrossTensors


class MCNN(PairBaseline):
    """Convolutions over words, joined by the picture at words, phrases or the sentence."""

    paper: ClassVar[str] = "Ma et al. 2015"
    validated: ClassVar[int] = 100

    longest: Annotated[int, Field(ge=1, le=WORDS)] = WORDS
    batch: Annotated[int, Field(ge=2)] = 128
    epochs: Annotated[int, Field(ge=0)] = 6
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    dropout: Share = 0.2
    margin: Annotated[float, Field(ge=0)] = 0.5
    candidates: Annotated[int, Field(ge=1)] = 8
    """Random false pictures, and texts, of a pair: the one with the highest score counts."""
    level: Level = "word"

    def made(self, cells: int, features: int, words: int) -> MultimodalCNN:
        """Return the network, untrained."""
        return MultimodalCNN(
            cells, features, vocabulary=words, level=self.level, dropout=self.dropout
        )

    def loss(self, network: MultimodalCNN, train: CrossTensors, words: int) -> BatchLoss:
        """Return the hinge against a false text and a false picture of each pair."""
        del words
        rng = np.random.default_rng([self.seed, 1])

        def loss(batch: Batch) -> tuple[Tensor, float]:
            images = pack_images(network, train, batch.images)
            texts = pack_texts(network, train, batch.texts)
            known = batch.also_true | np.eye(len(images), dtype=bool)
            true = network.score_pairs(images, texts)
            against = (
                (known, lambda rows: network.score_pairs(images, texts[rows])),
                (known.T, lambda rows: network.score_pairs(images[rows], texts)),
            )
            false = torch.stack([self._hardest(*one, rng) for one in against])
            return functional.relu(self.margin - true + false).sum(0).mean(), 2 * self.margin

        return loss

    def _hardest(
        self,
        known: NDArray[np.bool_],
        score: Callable[[NDArray[np.int64]], Tensor],
        rng: np.random.Generator,
    ) -> Tensor:
        """Return the highest score of each pair with some of what it does not match, (b,)."""
        drawn = np.stack([false_of(known, rng) for _ in range(self.candidates)])
        with torch.no_grad():
            highest = torch.stack([score(rows) for rows in drawn]).argmax(0).numpy()
        return score(drawn[highest, np.arange(len(known))])


def false_of(known: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for each row a random column that is not known as true, int64 (b,)."""
    # The largest of random numbers: any false one is as likely as any other.
    drawn: NDArray[np.int64] = np.where(known, -1, rng.random(known.shape)).argmax(axis=1)
    return drawn
