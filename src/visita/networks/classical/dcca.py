"""Deep canonical correlation analysis: Andrew et al. (2013); Yan & Mikolajczyk (2015).

Printed there: two networks whose outputs are to be correlated as much as they can be; the sum
of the singular values of T = S11^-1/2 S12 S22^-1/2 over a large batch is what is maximised,
with a ridge on S11 and S22; in the end a linear CCA of the outputs. Yan & Mikolajczyk put it
on a CNN and on TF-IDF. Ours: one hidden layer with ReLU and dropout a side, the CNN frozen,
and T by Cholesky factors, which gives the same singular values.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from visita.networks.classical.projection import Projection
from visita.networks.classical.sides import Sides


class DeepCCA(Sides):
    """A two-sided network: standardise, one hidden layer, then the linear CCA of the outputs.

    Attributes
    ----------
    head : Projection
        Of the outputs, fitted on training pairs in closed form.
    """

    def __init__(
        self,
        image_features: int,
        text_features: int,
        *,
        hidden: int,
        outputs: int,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(
            *(image_features, text_features, _layers),
            hidden=hidden,
            outputs=outputs,
            dropout=dropout,
        )
        self.head = Projection(outputs, outputs, directions=outputs, distance="cosine")

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
    seen, read = images - images.mean(0), texts - texts.mean(0)
    count = len(images) - 1
    root_x, root_y = _root(seen.T @ seen / count, ridge), _root(read.T @ read / count, ridge)
    whitened = torch.linalg.solve_triangular(root_x, seen.T @ read / count, upper=False)
    whitened = torch.linalg.solve_triangular(root_y, whitened.T, upper=False)
    total: Tensor = torch.linalg.svdvals(whitened).sum()
    return total


def _root(covariance: Tensor, ridge: float) -> Tensor:
    ridged = covariance + ridge * torch.eye(len(covariance), dtype=covariance.dtype)
    root: Tensor = torch.linalg.cholesky(ridged)
    return root


def _layers(features: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)
    )
