"""Margin losses over all pairs of a batch: UVS's sum of negatives and VSE++'s hardest one."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def all_negatives(scores: Tensor, also_true: Tensor, margin: float) -> Tensor:
    """Return Σ_j max(0, m - s_ii + s_ij) of both directions, a mean over pairs i.

    Kiros, Salakhutdinov & Zemel (2014), "Unifying visual-semantic embeddings".

    Parameters
    ----------
    scores : float32 (b, b)
        Of image i and text j; pair i sits on the diagonal.
    also_true : bool (b, b)
        Other true pairs, which are no negatives.
    """
    images, texts = _costs(scores, also_true, margin)
    return (images.sum() + texts.sum()) / len(scores)


def hardest_negative(scores: Tensor, also_true: Tensor, margin: float) -> Tensor:
    """Return max_j max(0, m - s_ii + s_ij) of both directions, a mean over pairs i.

    Faghri et al. (2018), "VSE++"; the parameters are those of ``all_negatives``.
    """
    images, texts = _costs(scores, also_true, margin)
    return (images.amax(1).sum() + texts.amax(0).sum()) / len(scores)


def _costs(scores: Tensor, also_true: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    known = also_true | torch.eye(len(scores), dtype=torch.bool)
    true = scores.diagonal()
    images = functional.relu(margin + scores - true[:, None]).masked_fill(known, 0)
    texts = functional.relu(margin + scores - true[None]).masked_fill(known, 0)
    return images, texts
