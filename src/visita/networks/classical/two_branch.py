"""DSPE: Wang, Li & Lazebnik, "Learning deep structure-preserving image-text embeddings" (2016).

Printed there: two branches of fully connected layers (2048, ReLU, dropout 0.5, 512, unit
length), Euclidean distance, a margin loss in both directions over the hardest few negatives,
and a third term that keeps sentences of one image nearer to each other than to others. The
same term for images is left out, as an image has no other image that means the same. The
weights and 10 negatives are those of the authors' public code (Two_branch_network).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.networks.classical.sides import Sides

TINY = 1e-4
"""Under the root of a squared distance, as in the authors' code: it has a gradient at 0."""


class TwoBranch(Sides):
    """A two-sided network: standardise, a hidden layer with batch norm, a linear layer."""

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
            *(image_features, text_features, _branch),
            hidden=hidden,
            outputs=outputs,
            dropout=dropout,
        )

    def image(self, features: Tensor) -> Tensor:
        """Map (n, views, d) to unit vectors (n, dim); the views are averaged first."""
        return functional.normalize(self.outputs("image", features.mean(1)), dim=-1)

    def text(self, features: Tensor) -> Tensor:
        """Map (m, e) to unit vectors (m, dim)."""
        return functional.normalize(self.outputs("text", features), dim=-1)


def structure_loss(
    images: Tensor,
    texts: Tensor,
    true: Tensor,
    *,
    margin: float,
    negatives: int,
    image_weight: float,
    structure_weight: float,
) -> Tensor:
    """Return the loss of a batch: text to image, image to text, and text to text.

    Each term is the mean over its positive pairs, each against its ``negatives`` hardest.

    Parameters
    ----------
    images, texts : float32 (b, d), (t, d)
    true : bool (b, t)
        Which of them belong together; every text to one or more.
    image_weight : float
        Of the term in which a text's true image is to be nearer than other images.
    structure_weight : float
        Of the term in which a text's sibling is to be nearer than other texts.
    """
    across, within = _distances(texts, images), _distances(texts, texts)
    siblings = (true.T.float() @ true.float()) > 0
    apart = torch.eye(len(texts), dtype=torch.bool)
    to_image = _violations(across, true.T, true.T, margin, negatives)
    to_text = _violations(across.T, true, true, margin, negatives)
    structure = _violations(within, siblings & ~apart, siblings, margin, negatives)
    return image_weight * to_image + to_text + structure_weight * structure


def _violations(
    distances: Tensor, positive: Tensor, known: Tensor, margin: float, negatives: int
) -> Tensor:
    """Return the mean of max(0, margin + d(i, j) - d(i, k)) over positive (i, j), hardest k.

    ``distances``, ``positive`` and ``known``, what is no negative, are (q, n).
    """
    queries, items = positive.nonzero(as_tuple=True)
    if not len(queries):
        return distances.new_zeros(())
    near = distances.masked_fill(known, float("inf"))
    hardest = near.topk(min(negatives, near.shape[1]), dim=1, largest=False).values
    found = functional.relu(margin + distances[queries, items][:, None] - hardest[queries])
    return found.mean()


def _distances(one: Tensor, other: Tensor) -> Tensor:
    squares = one.square().sum(1)[:, None] + other.square().sum(1) - 2 * one @ other.T
    return (squares.clamp(min=0) + TINY).sqrt()


def _branch(features: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(features, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, outputs),
    )
