"""The kernel layer: kernels of several families and widths, their weights on the simplex.

Between unit vectors each kernel here is a function of the cosine c, brought to the range of the
cosine itself, -1 to 1: a kernel of a smaller range would count less than its weight says. One
alone re-orders nothing; averaged over the words of a text, or summed over levels, they do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.networks.kernel_functions import Maths, kernel

TORCH = Maths(torch.exp, torch.sqrt, torch.pow, torch.clamp_min)


class KernelLayer(nn.Module):
    """Σ β_lk k_k over levels l and kernels k, β ≥ 0, Σβ = 1 (eqs. 1 to 3, K = Σ α_k K_k).

    Attributes
    ----------
    logits : float32 (levels, kernels)
        The weights before the softmax, which keeps them on the simplex.
    """

    def __init__(self, levels: Sequence[str], kernels: Sequence[str]) -> None:
        super().__init__()
        self.levels = tuple(levels)
        self.names = tuple(kernels)
        self._kernels = [kernel(name, TORCH) for name in kernels]
        self.logits = nn.Parameter(torch.zeros(len(levels), len(kernels)))

    def weights(self) -> Tensor:
        """Return β, float32 (levels, kernels)."""
        return functional.softmax(self.logits.flatten(), 0).view_as(self.logits)

    @torch.no_grad()
    def unrelated(self) -> Tensor:
        """Return the score, float32 (), of a picture and a text all of whose cosines are 0."""
        levels = range(len(self.levels))
        return torch.stack([self(level, torch.zeros(1), torch.ones(1)) for level in levels]).sum()

    def forward(self, level: int, cosines: Tensor, shares: Tensor) -> Tensor:
        """Return what one level adds to the score.

        Parameters
        ----------
        cosines : float32 (…, n)
            Of n parts, such as words, with what they found on the other side.
        shares : float32, broadcastable to (…, n)
            How much each part counts; they sum to 1.
        """
        weights = self.weights()[level]
        mixed = torch.zeros_like(cosines)
        for weight, kernel_of in zip(weights, self._kernels, strict=True):
            mixed = mixed + weight * kernel_of(cosines)
        return (mixed * shares).sum(-1)
