"""Training DSPE: batches of pictures with two of their sentences each.

Wang, Li & Lazebnik (2016), as ``visita.networks.classical.two_branch`` tells. Values are those
of the authors' public code (Adam, 2 sentences a picture, the 10 hardest negatives); ours are the
rate (1e-4 there, for more steps), its decay, the best epoch on dev, text features that are no
Fisher vectors, 100 pictures a step (500) and margin 0.2 (0.05). The 10 hardest of 500 draw all
vectors together before anything is learnt: on Flickr8k dev, rsum 159 after 40 epochs with the
authors' two values, 246 after 16 with these.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from visita.networks.classical.two_branch import TwoBranch, structure_loss
from visita.training.classical.baseline import Validate, VectorBaseline, mean_view
from visita.training.config import Share
from visita.training.labelled import drawn_texts
from visita.training.loop import History, Losses, fit, warm_up_and_cosine
from visita.training.spans import Spans
from visita.training.tensors import PairTensors, statistics
from visita.training.tuning import embed


class DSPE(VectorBaseline):
    """Two branches, bidirectional ranking and structure preservation."""

    paper: ClassVar[str] = "Wang et al. 2016"

    network: ClassVar[str] = "two-branch"

    epochs: Annotated[int, Field(ge=0)] = 16
    patience: Annotated[int, Field(ge=1)] = 10
    batch: Annotated[int, Field(ge=2)] = 100
    """Pictures a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    texts_per_image: Annotated[int, Field(ge=1)] = 2
    hidden: Annotated[int, Field(ge=1)] = 2048
    outputs: Annotated[int, Field(ge=1, le=512)] = 512
    dropout: Share = 0.5
    margin: Annotated[float, Field(ge=0)] = 0.2
    negatives: Annotated[int, Field(ge=1)] = 10
    """The hardest ones of a batch that count."""
    image_weight: Annotated[float, Field(ge=0)] = 1.5
    structure_weight: Annotated[float, Field(ge=0)] = 0.05

    def learn(
        self, train: PairTensors, dev: PairTensors, validate: Validate
    ) -> tuple[TwoBranch, History]:
        """Return the network, and what happened."""
        torch.manual_seed(self.seed)
        widths = train.images.shape[-1], train.texts.shape[-1]
        network = TwoBranch(*widths, hidden=self.hidden, outputs=self.outputs, dropout=self.dropout)
        images = mean_view(train)
        for side, rows in (("image", images), ("text", train.texts)):
            network.set_statistics(side, *statistics(rows))
        steps = self.epochs * -(-len(images) // self.batch)
        history = fit(
            network,
            self._losses(network, torch.from_numpy(images), train),
            torch.optim.Adam(network.parameters(), lr=self.learning_rate),
            lambda: validate(*embed(network, dev, Spans.whole(*widths))),
            self,
            partial(warm_up_and_cosine, steps=steps),
        )
        return network, history

    def _losses(self, network: TwoBranch, images: Tensor, train: PairTensors) -> Losses:
        """Return what yields, for one epoch, each batch's loss and that of guessing."""
        rng = np.random.default_rng(self.seed)
        texts = torch.from_numpy(train.texts)
        guess = self.margin * (self.image_weight + 1 + self.structure_weight)

        def epoch() -> Iterator[tuple[Tensor, float]]:
            order = rng.permutation(len(images))
            for start in range(0, len(order), self.batch):
                rows = order[start : start + self.batch]
                if len(rows) < 2:  # no negatives, and no batch norm
                    continue
                columns, _ = drawn_texts(train.truth, rows, self.texts_per_image, rng)
                columns = np.unique(columns)
                loss = structure_loss(
                    network.image(images[torch.from_numpy(rows)][:, None]),
                    network.text(texts[torch.from_numpy(columns)]),
                    torch.from_numpy(train.truth[rows][:, columns].toarray()),
                    margin=self.margin,
                    negatives=self.negatives,
                    image_weight=self.image_weight,
                    structure_weight=self.structure_weight,
                )
                yield loss, guess

        return epoch
