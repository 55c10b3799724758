"""The kernel layer's weights refitted by SimpleMKL (eqs. 1-3) on pairs that taught nothing else.

Each kernel of the layer gives a pair one number; the product of two pairs' numbers is a
kernel between pairs, and a soft-margin machine over all of these tells true pairs from
false ones. Its weight of each number, on the simplex, is the layer's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from visita.errors import TrainingError
from visita.kernels.gram import variance
from visita.kernels.simplemkl import PAPER_TOLERANCE, simple_mkl
from visita.networks.kernels import KernelLayer

PAIRS = 1500
"""At most; the Gram matrices of sixteen kernels take 0.3 GB then."""
SLACK = 0.1
"""C: what a unit of slack costs, with kernels of variance 1."""
LEAST = 1e-6
"""A weight that is none."""


def refit(layer: KernelLayer, values: NDArray[np.float64], labels: NDArray[np.float32]) -> None:
    """Set the layer's weights to what SimpleMKL finds best.

    Parameters
    ----------
    values : float64 (p, levels * kernels)
        As of ``kernel_values``.
    labels : float32 (p,)
        1 for a true pair, 0 for a false one.

    Raises
    ------
    TrainingError
        If no kernel tells true pairs from false ones.
    """
    centred = values[:PAIRS] - values[:PAIRS].mean(0)
    grams = [np.outer(column, column) for column in centred.T]
    scales = np.array([variance(gram) for gram in grams])
    scales[scales == 0] = 1.0
    machine = simple_mkl(
        [gram / scale for gram, scale in zip(grams, scales, strict=True)],
        2.0 * labels[:PAIRS] - 1,
        C=SLACK,
        tolerance=PAPER_TOLERANCE,
    )
    weights = machine.weights / scales * (centred.T @ machine.dual)
    weights = np.maximum(weights, 0)
    if not weights.any():
        raise TrainingError(
            "No kernel tells true pairs from false ones: train longer, or set kernel_weights=joint."
        )
    shares = np.maximum(weights / weights.sum(), LEAST)
    layer.logits.data.copy_(torch.from_numpy(np.log(shares)).view_as(layer.logits))


@torch.inference_mode()
def kernel_values(layer: KernelLayer, scores: Callable[[], Tensor]) -> NDArray[np.float64]:
    """Return what each kernel alone makes of p pairs, float64 (p, levels * kernels).

    ``scores`` gives the pairs' scores, float32 (p,), by the layer's weights as they are then.
    """
    own = layer.logits.clone()
    columns = []
    for alone in torch.eye(own.numel(), dtype=torch.bool, device=own.device):
        layer.logits.copy_(torch.where(alone, 0.0, -torch.inf).view_as(own))
        columns.append(scores().cpu().numpy())
    layer.logits.copy_(own)
    return np.stack(columns, axis=1).astype(np.float64)
