"""Deep canonical correlation analysis: Andrew et al. (2013); Yan & Mikolajczyk (2015).

Printed there: two networks whose outputs are to be correlated as much as they can be; the sum
of the singular values of T = S11^-1/2 S12 S22^-1/2 over a large batch is what is maximised,
with a ridge on S11 and S22; in the end a linear CCA of the outputs. Yan & Mikolajczyk put it
on a CNN and on TF-IDF; batches must be large against the outputs. Ours: one hidden layer with
ReLU and dropout a side, the CNN frozen, and T by Cholesky factors, which gives the same singular
values; Adam, its rate, dropout, the sizes, and the best epoch on dev.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from visita.baselines.baseline import VectorBaseline, fit_by_adam
from visita.baselines.cca import Projection, Sides, fit_projection
from visita.training.batches import batch_count, batches
from visita.training.config import Share
from visita.training.loop import History, Losses
from visita.training.tensors import PairTensors, Spans
from visita.training.tuning import Validate, embed, in_blocks


class DeepCCA(Sides):
    """A two-sided network: standardise, one hidden layer, then the linear CCA of the outputs.

    Attributes
    ----------
    head : Projection
        Of the outputs, fitted on training pairs in closed form.
    """

    def __init__(self, image_features: int, text_features: int, **settings: Any) -> None:
        super().__init__(image_features, text_features, **settings)
        self.head = Projection(self.dim, self.dim, directions=self.dim, distance="cosine")

    @staticmethod
    def layers(features: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
        """Return one hidden layer and a linear one."""
        return nn.Sequential(
            nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
        )

    def image_outputs(self, features: Tensor) -> Tensor:
        """Map (n, d) to (n, outputs)."""
        return self.outputs("image", features)

    def text_outputs(self, features: Tensor) -> Tensor:
        """Map (m, e) to (m, outputs)."""
        return self.outputs("text", features)

    def image(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to unit vectors (n, dim); the views are averaged."""
        unit: Tensor = self.head.image(self.image_outputs(features))
        return unit

    def text(self, features: Tensor) -> Tensor:
        """Map (m, e) to unit vectors (m, dim)."""
        unit: Tensor = self.head.text(self.text_outputs(features))
        return unit


def correlation(images: Tensor, texts: Tensor, ridge: float) -> Tensor:
    """Return the sum of the canonical correlations of paired rows (b, d) and (b, e), b > 1."""
    x, y = images - images.mean(0), texts - texts.mean(0)
    count = len(images) - 1
    root_x, root_y = _root(x.T @ x / count, ridge), _root(y.T @ y / count, ridge)
    whitened = torch.linalg.solve_triangular(root_x, x.T @ y / count, upper=False)
    whitened = torch.linalg.solve_triangular(root_y, whitened.T, upper=False)
    total: Tensor = torch.linalg.svdvals(whitened).sum()
    return total


def _root(covariance: Tensor, ridge: float) -> Tensor:
    ridged = covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype)
    root: Tensor = torch.linalg.cholesky(ridged)
    return root


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
        network, images = DeepCCA.fresh(self, train)
        spans = Spans.whole(train.images.shape[-1], train.texts.shape[-1])

        def score() -> float:
            image_outputs = np.concatenate(list(in_blocks(network.image_outputs, images)))
            text_outputs = np.concatenate(list(in_blocks(network.text_outputs, train.texts)))
            outputs = PairTensors(image_outputs[:, None], text_outputs, train.truth)
            fit_projection(network.head, outputs, self.final_ridge, self.final_ridge)
            return validate(*embed(network, dev, spans))

        steps = self.epochs * batch_count(train.truth, self.batch)
        losses = self._losses(network, torch.from_numpy(images), train)
        history = fit_by_adam(network, losses, score, self, steps)
        return network, history

    def _losses(self, network: DeepCCA, images: Tensor, train: PairTensors) -> Losses:
        """Return what yields, for one epoch, the correlation that each batch lacks."""
        rng = np.random.default_rng(self.seed)
        texts = torch.from_numpy(train.texts)

        def epoch() -> Iterator[tuple[Tensor, float]]:
            for batch in batches(train.truth, self.batch, 1, mix=False, rng=rng):
                image_outputs = network.image_outputs(images[torch.from_numpy(batch.images)])
                text_outputs = network.text_outputs(texts[torch.from_numpy(batch.texts)])
                yield 1 - correlation(image_outputs, text_outputs, self.ridge) / self.outputs, 1.0

        return epoch
