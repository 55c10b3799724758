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
"""Added to what must get no attention; finite, as an empty row would else be no number."""


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
    """Return cosines, float32 (a, b, p): part p of item a and what it finds in item b.

    What it finds is the mean of b's parts, weighted by a softmax of ``sharpness`` times
    their cosines with it.
    """
    cosines = torch.einsum("ape,bqe->abpq", asking.vectors, asked.vectors)
    real = (asked.shares > 0)[None, :, None]
    attention = functional.softmax((sharpness * cosines).masked_fill(~real, NEVER), -1)
    found = (attention * cosines).sum(-1)
    # The length of what was found, without making it: Σ_qr attention_q attention_r <v_q, v_r>.
    gram = asked.vectors @ asked.vectors.transpose(1, 2)
    lengths = (torch.einsum("abpq,bqr->abpr", attention, gram) * attention).sum(-1)
    return found / lengths.clamp_min(1e-6).sqrt()
