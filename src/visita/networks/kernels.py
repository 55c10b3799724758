"""The kernel layer: kernels of several families and widths, their weights on the simplex.

Between unit vectors each kernel here is a function of the cosine c, brought to the range of the
cosine itself, -1 to 1: a kernel of a smaller range would count less than its weight says. One
alone re-orders nothing; averaged over the words of a text, or summed over levels, they do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.errors import ConfigError


def _linear(cosine: Tensor, _: float) -> Tensor:
    return cosine


def _polynomial(cosine: Tensor, degree: float) -> Tensor:
    return ((1 + cosine) / 2) ** degree


def _rbf(cosine: Tensor, gamma: float) -> Tensor:
    return torch.exp(-gamma * (2 - 2 * cosine))


def _laplacian(cosine: Tensor, gamma: float) -> Tensor:
    # The slope of a root at zero distance is infinite: kept off it.
    return torch.exp(-gamma * torch.sqrt((2 - 2 * cosine).clamp_min(1e-4)))


FAMILIES: Mapping[str, Callable[[Tensor, float], Tensor]] = {
    "linear": _linear,
    "polynomial": _polynomial,
    "rbf": _rbf,
    "laplacian": _laplacian,
}
"""Name → function of the cosine and the parameter, degree or width gamma, before its range is."""


def parse(kernel: str) -> tuple[str, float]:
    """Return family and parameter of a kernel such as ``rbf:2`` or ``linear``.

    Raises
    ------
    ConfigError
        If there is no such family, or its parameter is no positive number.
    """
    family, _, number = kernel.partition(":")
    try:
        parameter = float(number or 1)
    except ValueError:
        parameter = 0.0
    if family not in FAMILIES or not 0 < parameter < 1000:
        raise ConfigError(
            f"{kernel!r} is no kernel: write a family of {', '.join(FAMILIES)} and a positive "
            "parameter, as in rbf:2."
        )
    return family, parameter


def kernel(name: str) -> Callable[[Tensor], Tensor]:
    """Return a kernel as a function of the cosine that is -1 at -1 and 1 at 1.

    Raises
    ------
    ConfigError
        If there is no such kernel.
    """
    family, parameter = parse(name)
    cosines = torch.tensor([-1.0, 1.0], dtype=torch.float64, device="cpu")
    ends = FAMILIES[family](cosines, parameter)
    return partial(_ranged, FAMILIES[family], parameter, *ends.tolist())


def _ranged(
    function: Callable[[Tensor, float], Tensor],
    parameter: float,
    lowest: float,
    highest: float,
    cosine: Tensor,
) -> Tensor:
    return 2 * (function(cosine, parameter) - lowest) / (highest - lowest) - 1


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
        self._kernels = [kernel(name) for name in kernels]
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
