"""A loss, a network, and a baseline that trains the network."""

from __future__ import annotations

import sys
from typing import ClassVar

from torch import Tensor

from visita.baselines.baseline import Validate
from visita.baselines.cca import CCA, Projection, fit_projection
from visita.training.loop import History
from visita.training.tensors import PairTensors, Spans
from visita.training.tuning import embed


def toy_loss(scores: Tensor, also_true: Tensor, *, temperature: float) -> Tensor:
    """Return how far true scores are below the mean of all, over the temperature."""
    print("toy loss at work", file=sys.stderr)
    del also_true
    return (scores.mean() - scores.diagonal().mean()) / temperature + 1


class ToyProjection(Projection):
    """A linear map a side, as visita has it."""


class ToyCCA(CCA):
    """Canonical correlation analysis, once more."""

    paper: ClassVar[str] = "Toy 2026"
    network: ClassVar[str] = "toy-projection"

    def learn(
        self, train: PairTensors, dev: PairTensors, validate: Validate
    ) -> tuple[ToyProjection, History]:
        widths = train.images.shape[-1], train.texts.shape[-1]
        network = ToyProjection(*widths, directions=self.directions, distance=self.distance)
        fit_projection(network, train, self.image_ridge, self.text_ridge)
        return network.eval(), History(validate(*embed(network, dev, Spans.whole(*widths))))
