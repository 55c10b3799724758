"""How the weights of a network are kept: large matrices in 8 bits a number, the rest in 16.

Half the size at no loss that shows: ``docs/notebook.md`` has the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.errors import ArtifactError, VisitaError, last_line
from visita.types import FloatArray

LARGE = 2**17
"""Numbers from which a matrix is kept in 8 bits."""
SCALE = ":scale"
"""After the name of what is: its largest magnitude a row over 127, float32 (rows, 1)."""


def rounded(weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return weights as they are kept, int8 with a scale, or float16."""
    stored: dict[str, NDArray[Any]] = {}
    for name, values in weights.items():
        if values.ndim != 2 or values.size < LARGE:
            stored[name] = values.astype(np.float16)
            continue
        largest = np.abs(values).max(axis=1, keepdims=True).astype(np.float32)
        scale = np.where(largest > 0, largest, 1) / np.float32(127)
        stored[name] = np.rint(values / scale).astype(np.int8)
        stored[name + SCALE] = scale
    return stored


def restored(kept: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
    """Return the weights, float32, of what ``rounded`` made.

    Raises
    ------
    ArtifactError
        If a scale is missing or suits no row.
    """
    weights = {}
    for name, values in kept.items():
        if values.dtype == np.int8:
            if kept.get(name + SCALE, np.zeros(0)).shape != (*values.shape[:1], 1):
                raise ArtifactError(f"The weights {name} have no scale for each of their rows.")
            weights[name] = values * kept[name + SCALE].astype(np.float32)
        elif not name.endswith(SCALE):
            weights[name] = values.astype(np.float32)
    return weights


def network_of(
    name: str, build: Callable[[], Any], tensors: Mapping[str, NDArray[np.float32]]
) -> Any:
    """Return the torch network that ``build`` makes, with these tensors, in evaluation mode.

    It takes no more memory than they do, whatever widths it is built with.

    Raises
    ------
    ArtifactError
        If they do not suit each other.
    """
    import torch  # noqa: PLC0415 - training and the first export only

    try:
        with torch.device("meta"):
            network = build()
        state = {key: torch.from_numpy(values) for key, values in tensors.items()}
        network.load_state_dict(state, assign=True)
    except VisitaError:
        raise
    except Exception as error:  # whatever torch or a network finds wrong
        raise ArtifactError(
            f"{name} is no network for its weights ({last_line(error):.200})."
        ) from error
    return network.eval()


def checked(name: str, vectors: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Return what a matcher's network gave for n items, (n, *shape).

    Raises
    ------
    ArtifactError
        If it is of another shape, or not all of it is finite.
    """
    if vectors.shape[1:] != shape:
        raise ArtifactError(f"{name} gives vectors of {vectors.shape[1:]} and promises {shape}.")
    if not np.isfinite(vectors).all():
        raise ArtifactError(f"{name} gives numbers that are not finite: its weights are damaged.")
    return vectors
