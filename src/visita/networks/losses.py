"""What training minimises."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def info_nce(scores: Tensor, also_true: Tensor, temperature: float, smoothing: float) -> Tensor:
    """Return the symmetric InfoNCE loss of a batch of pairs (van den Oord et al., 2018).

    Parameters
    ----------
    scores : float32 (b, b)
        Cosines of image i and text j; pair i sits on the diagonal.
    also_true : bool (b, b)
        Other true pairs, such as an image and another of its captions: left out of the
        sums, as they are no negatives. The diagonal is ignored.
    temperature : float
        Divides the scores.
    smoothing : float
        Share of the target spread evenly over the batch (label smoothing).
    """
    off_diagonal = ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    left_out = also_true & off_diagonal
    logits = scores / temperature
    loss = _smoothed(logits, left_out, smoothing) + _smoothed(logits.T, left_out.T, smoothing)
    return loss / 2


def _smoothed(logits: Tensor, left_out: Tensor, smoothing: float) -> Tensor:
    log_p = functional.log_softmax(logits.masked_fill(left_out, float("-inf")), dim=1)
    kept = (~left_out).sum(1)
    spread = log_p.masked_fill(left_out, 0.0).sum(1) / kept
    return -((1 - smoothing) * log_p.diagonal() + smoothing * spread).mean()


def hinge(scores: Tensor, true: Tensor, negatives: Tensor, margin: float) -> Tensor:
    """Return the sum of max(0, margin - cos(t, i+) + cos(t, i-)) over the triplets of a batch.

    Eqs. 5 and 6 of the multi-level fusion paper. A text makes a triplet with each of its
    images, and the same negative in all of them.

    Parameters
    ----------
    scores : float32 (b, t)
        Cosines of image i and text j.
    true : bool (b, t)
        Which of them belong together.
    negatives : int64 (t,)
        Row of an image that text j does not match.
    """
    images, texts = true.nonzero(as_tuple=True)
    away = scores[negatives[texts], texts]
    return functional.relu(margin - scores[images, texts] + away).sum()


def match_error(probabilities: Tensor, labels: Tensor) -> Tensor:
    """Return the mean squared error of match probabilities, float32 (p,) both.

    The MKL-VisITA paper's loss. The label of a pair is 1 if it belongs together, 0 if not,
    and of a picture patched together (RICAP) the share of the area that does.
    """
    return (probabilities - labels).square().mean()


def random_hinge(scores: Tensor, also_true: Tensor, margin: float) -> Tensor:
    """Return the mean ``hinge`` of a batch of pairs, each text with one random negative.

    Parameters
    ----------
    scores : float32 (b, b)
        Cosines of image i and text j; pair i sits on the diagonal.
    also_true : bool (b, b)
        Other true pairs, which are no negatives.
    margin : float
    """
    true = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    # The largest of random numbers: any false image is as likely as any other.
    negatives = torch.rand_like(scores).masked_fill(true | also_true, -1).argmax(0)
    return hinge(scores, true, negatives, margin) / len(scores)


def squared_weights(network: nn.Module) -> Tensor:
    """Return the sum of the squares of all weights; biases are left out."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    return torch.stack([weight.square().sum() for weight in weights]).sum()
