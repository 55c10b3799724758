"""Training deep CCA: the correlation of large batches, and a linear CCA in the end.

Yan & Mikolajczyk (2015) with the objective of Andrew et al. (2013), as
``visita.networks.classical.dcca`` tells. Printed: batches must be large against the outputs.
Ours: Adam, its rate, dropout, the sizes, and the best epoch on dev.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from visita.networks.classical.dcca import DeepCCA, correlation
from visita.training.batches import batch_count, batches
from visita.training.classical.baseline import Validate, VectorBaseline, mean_view
from visita.training.classical.cca import fit_projection
from visita.training.config import Share
from visita.training.loop import History, Losses, fit, warm_up_and_cosine
from visita.training.spans import Spans
from visita.training.tensors import PairTensors, statistics
from visita.training.tuning import embed, in_blocks


class DCCA(VectorBaseline):
    """Deep canonical correlation analysis."""

    paper: ClassVar[str] = "Andrew et al. 2013, Yan & Mikolajczyk 2015"

    network: ClassVar[str] = "deep-cca"

    epochs: Annotated[int, Field(ge=0)] = 12
    patience: Annotated[int, Field(ge=1)] = 5
    batch: Annotated[int, Field(ge=2)] = 1500
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    hidden: Annotated[int, Field(ge=1)] = 1024
    outputs: Annotated[int, Field(ge=1, le=512)] = 128
    dropout: Share = 0.5
    ridge: Annotated[float, Field(gt=0)] = 0.3
    """Added to the variance of each output, in the objective."""
    final_ridge: Annotated[float, Field(gt=0)] = 0.1
    """The same in the linear CCA of the outputs, which are standardised."""

    def learn(
        self, train: PairTensors, dev: PairTensors, validate: Validate
    ) -> tuple[DeepCCA, History]:
        """Return the network, its linear CCA fitted, and what happened."""
        torch.manual_seed(self.seed)
        widths = train.images.shape[-1], train.texts.shape[-1]
        network = DeepCCA(*widths, hidden=self.hidden, outputs=self.outputs, dropout=self.dropout)
        images = mean_view(train)
        for side, rows in (("image", images), ("text", train.texts)):
            network.set_statistics(side, *statistics(rows))

        def score() -> float:
            seen = np.concatenate(list(in_blocks(network.image_outputs, images)))
            read = np.concatenate(list(in_blocks(network.text_outputs, train.texts)))
            outputs = PairTensors(seen[:, None], read, train.truth)
            fit_projection(network.head, outputs, self.final_ridge, self.final_ridge)
            return validate(*embed(network, dev, Spans.whole(*widths)))

        steps = self.epochs * batch_count(train.truth, self.batch)
        history = fit(
            network,
            self._losses(network, torch.from_numpy(images), train),
            torch.optim.Adam(network.parameters(), lr=self.learning_rate),
            score,
            self,
            partial(warm_up_and_cosine, steps=steps),
        )
        return network, history

    def _losses(self, network: DeepCCA, images: Tensor, train: PairTensors) -> Losses:
        """Return what yields, for one epoch, the correlation that each batch lacks."""
        rng = np.random.default_rng(self.seed)
        texts = torch.from_numpy(train.texts)

        def epoch() -> Iterator[tuple[Tensor, float]]:
            for batch in batches(train.truth, self.batch, 1, mix=False, rng=rng):
                seen = network.image_outputs(images[torch.from_numpy(batch.images)])
                read = network.text_outputs(texts[torch.from_numpy(batch.texts)])
                yield 1 - correlation(seen, read, self.ridge) / self.outputs, 1.0

        return epoch
