"""How the weights of a network are kept: large matrices in 8 bits a number, the rest in 16.

Half the size at no loss that shows: ``docs/notebook.md`` has the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.errors import ArtifactError
from visita.types import FloatArray

LARGE = 2**17
"""Numbers from which a matrix is kept in 8 bits."""
SCALE = ":scale"
"""After the name of what is: its largest magnitude a row over 127, float32 (rows, 1)."""


def rounded(weights: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return weights as they are kept, int8 with a scale, or float16."""
    kept: dict[str, NDArray[Any]] = {}
    for name, values in weights.items():
        if values.ndim != 2 or values.size < LARGE:
            kept[name] = values.astype(np.float16)
            continue
        largest = np.abs(values).max(axis=1, keepdims=True).astype(np.float32)
        scale = np.where(largest > 0, largest, 1) / np.float32(127)
        kept[name] = np.rint(values / scale).astype(np.int8)
        kept[name + SCALE] = scale
    return kept


def restored(kept: Mapping[str, NDArray[Any]]) -> dict[str, FloatArray]:
    """Return the weights, float32, of what ``rounded`` made.

    Raises
    ------
    ArtifactError
        If a scale is missing or suits no row.
    """
    found = {}
    for name, values in kept.items():
        if values.dtype == np.int8:
            if kept.get(name + SCALE, np.zeros(0)).shape != (*values.shape[:1], 1):
                raise ArtifactError(f"The weights {name} have no scale for each of their rows.")
            found[name] = values * kept[name + SCALE].astype(np.float32)
        elif not name.endswith(SCALE):
            found[name] = values.astype(np.float32)
    return found
