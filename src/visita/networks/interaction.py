"""Cross-modal attention in both directions, level by level.

A part of one side (a word, a phrase, a cell) attends to the parts of the other; the cosine
of the part and of what it attended to says how well it is answered there.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

NEVER = -1e4
"""The logit of what must get no share; finite, as an empty row would else be no number."""
SHORTEST = 1e-30
"""Squared length below which nothing was found."""


class Parts(NamedTuple):
    """The parts of n pictures or texts at one level.

    Attributes
    ----------
    vectors : float32 (n, p, e)
        Unit vectors; zero where there is no part.
    shares : float32 (n, p)
        How much each part counts; they sum to 1.
    """

    vectors: Tensor
    shares: Tensor


def parts(vectors: Tensor, logits: Tensor, mask: Tensor) -> Parts:
    """Return unit vectors with their shares, a softmax of the logits (n, p) over real parts."""
    unit = functional.normalize(vectors, dim=-1) * mask[..., None]
    return Parts(unit, functional.softmax(logits.masked_fill(~mask, NEVER), -1))


def answered(asking: Parts, asked: Parts, sharpness: Tensor) -> Tensor:
    """Return cosines, float32 (b, a, p): part p of item a and what it finds in item b.

    What it finds is the mean of b's parts, weighted by a softmax of ``sharpness`` times
    their cosines with it. A cosine does not depend on lengths, so the softmax needs no
    denominator; and where there is no part the zero vector adds nothing, so it needs no mask.
    """
    a, p, e = asking.vectors.shape
    cosines = asking.vectors.reshape(1, a * p, e) @ asked.vectors.transpose(1, 2)
    nearest = cosines.detach().amax(-1, keepdim=True)
    attention = torch.exp(sharpness * (cosines - nearest))
    found = (attention * cosines).sum(-1)
    # The length of what was found, without making it: Σ_qr attention_q attention_r <v_q, v_r>.
    gram = asked.vectors @ asked.vectors.transpose(1, 2)
    lengths = (attention @ gram * attention).sum(-1)
    return (found / lengths.clamp_min(SHORTEST).sqrt()).view(-1, a, p)
