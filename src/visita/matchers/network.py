"""From a matcher's weights to its network, as torch or a graph, and what it gives to vectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from visita.errors import ArtifactError, VisitaError, last_line
from visita.types import FloatArray

Built = TypeVar("Built")


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
    import torch  # noqa: PLC0415 - where it runs or exports a network

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


def suited(name: str, build: Callable[[], Built]) -> Built:
    """Return what ``build`` makes of a matcher's settings and weights, such as a graph.

    Raises
    ------
    ArtifactError
        If they do not suit each other.
    """
    try:
        return build()
    except VisitaError:
        raise
    except Exception as error:  # whatever a stranger's settings and weights miss
        raise ArtifactError(
            f"{name} is no network for its weights ({last_line(error):.200})."
        ) from error


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
