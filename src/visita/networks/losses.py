"""What training minimises: one function a loss, by name in ``LOSSES`` or ``PAIR_LOSSES``.

The parameters of a loss after its first two are settings: those of the configuration that have
the same names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from inspect import Parameter, signature

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.errors import ConfigError
from visita.networks import LOSSES, PAIR_LOSSES

Loss = Callable[[Tensor, Tensor], Tensor]
"""Maps scores (b, b) and other true pairs, or probabilities (p,) and labels, to a number."""


def loss_named(name: str, settings: object) -> Loss:
    """Return the loss called ``name``, its further parameters set by the settings so called.

    Raises
    ------
    UnknownNameError
        If there is no such loss.
    ConfigError
        If it has a parameter without a default that is no setting.
    """
    loss: Callable[..., Tensor] = (PAIR_LOSSES if name in PAIR_LOSSES else LOSSES).load(name)
    further = list(signature(loss).parameters.values())[2:]
    lacking = [p.name for p in further if p.default is Parameter.empty]
    lacking = [setting for setting in lacking if not hasattr(settings, setting)]
    if lacking:
        raise ConfigError(
            f"The loss {name!r} needs {' and '.join(lacking)}, which {type(settings).__name__} "
            "does not set: choose another loss."
        )
    names = [parameter.name for parameter in further if hasattr(settings, parameter.name)]
    return partial(loss, **{name: getattr(settings, name) for name in names})


def loss_of_guessing(loss: Loss, scores: Tensor) -> float:
    """Return the loss of a batch of pairs whose scores, of the shape of ``scores``, are equal."""
    if isinstance(loss, partial) and loss.func is info_nce:
        return math.log(len(scores))  # known, and computing it would be 3 % of a training step
    none = torch.zeros_like(scores, dtype=torch.bool)
    value = loss(torch.zeros_like(scores), none)
    if not isinstance(value, Tensor) or value.ndim:
        raise ConfigError("The loss gives no single number: it has to return a tensor of shape ().")
    return value.item()


def info_nce(
    scores: Tensor, also_true: Tensor, temperature: float, label_smoothing: float
) -> Tensor:
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
    label_smoothing : float
        Share of the target spread evenly over the batch.
    """
    off_diagonal = ~torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    left_out = also_true & off_diagonal
    logits = scores / temperature
    by_image = _smoothed(logits, left_out, label_smoothing)
    return (by_image + _smoothed(logits.T, left_out.T, label_smoothing)) / 2


def _smoothed(logits: Tensor, left_out: Tensor, smoothing: float) -> Tensor:
    log_p = functional.log_softmax(logits.masked_fill(left_out, float("-inf")), dim=1)
    remaining = (~left_out).sum(1)
    spread = log_p.masked_fill(left_out, 0.0).sum(1) / remaining
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


def random_hinge(scores: Tensor, also_true: Tensor, margin: float = 0.5) -> Tensor:
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


def below_true(wrong: Tensor, true: Tensor, temperature: float) -> Tensor:
    """Return the mean logistic loss of pairs that are to score less than true ones.

    Parameters
    ----------
    wrong, true : float32 (w,), (b,)
        Cosines of pairs; each wrong one is compared with each true one.
    temperature : float
        Divides them.
    """
    return functional.softplus((wrong[:, None] - true) / temperature).mean()


def squared_weights(network: nn.Module) -> Tensor:
    """Return the sum of the squares of all weights; biases are left out."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    return torch.stack([weight.square().sum() for weight in weights]).sum()
