"""How the weights of a network are kept: large matrices in 8 bits a number, the rest in 16.

Half the size at no loss that shows: ``docs/notebook.md`` has the numbers.

The weights of the encoders that ship are kept so too, in the folder ``shipped``, which
``runs/pack_encoders.py`` writes; its ``README.md`` says where they come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from visita.errors import ArtifactError, MismatchError
from visita.types import FloatArray

LARGE = 2**17
"""Numbers from which a matrix is kept in 8 bits."""
SCALE = ":scale"
"""After the name of what is: the largest magnitudes over 127, (rows, groups)."""
PLANES = ":planes"
"""After the name of what is in 16 bits: the lower bytes of all numbers, then the higher ones, which
are few and so make a smaller wheel; (2, ...)."""
PLACE = Path(__file__).with_name("shipped")
SHIPPED = {
    "efficientnet-lite0": "fd317b6276e11957a2629ad5ba0204880ed792e98f69020bb63412f221c86c06",
    "efficientnet-lite1": "4b9c5cdb2bf8822620dce3afe4229a36bc159e0eb9ccdf3f695bf54fb1316712",
    "efficientnet-lite2": "4637e12ca0c61cc46b2c19255480d5dd3db8fee1e89fa1fc1075476538434238",
    "minilm-l6": "04e48b3933ce4fb69e204ca1d29a90456335f9faa374c1af4c6304f7d0b427df",
}
"""SHA-256 of each file of weights in ``PLACE``."""


def rounded(
    weights: Mapping[str, NDArray[Any]], group: int | None = None
) -> dict[str, NDArray[Any]]:
    """Return weights as they are kept, int8 with a scale for each ``group`` of a row, or float16.

    A group is a whole row where there is no number.
    """
    stored: dict[str, NDArray[Any]] = {}
    for name, values in weights.items():
        if values.ndim != 2 or values.size < LARGE:
            stored[name] = values.astype(np.float16)
        else:
            stored |= _in_steps(name, values, group)
    return stored


def rounded_changes(changes: Mapping[str, FloatArray]) -> dict[str, NDArray[Any]]:
    """Return what training adds to weights as it is kept, arrays of rows in int8 or float16.

    It is some hundredths of the weights, so that the steps of its rows are far finer than theirs.
    """
    stored: dict[str, NDArray[Any]] = {}
    for name, values in changes.items():
        if values.ndim < 2:
            stored[name] = values.astype(np.float16)
        else:
            stored |= _in_steps(name, values, None)
    return stored


def _in_steps(name: str, values: NDArray[Any], group: int | None) -> dict[str, NDArray[Any]]:
    """Return values in 127 steps to each side of 0, and the sizes of the steps."""
    groups = values.reshape(len(values), -1, group or values[0].size)
    largest = np.abs(groups).max(axis=2, keepdims=True).astype(np.float32)
    scale = np.where(largest > 0, largest, 1) / np.float32(127)
    if group:  # many scales, in half of the bytes; a little larger, so that 127 is enough
        scale = np.nextafter(scale.astype(np.float16), np.float16(np.inf))
    steps = np.rint(groups / scale.astype(np.float32)).astype(np.int8)
    return {name: steps.reshape(values.shape), name + SCALE: scale[..., 0]}


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
            weights[name] = _scaled(name, values, kept.get(name + SCALE, np.zeros(0)))
        elif not name.endswith(SCALE):
            weights[name] = values.astype(np.float32)
    return weights


def _scaled(name: str, values: NDArray[np.int8], scale: NDArray[Any]) -> FloatArray:
    rows, groups = scale.shape if scale.ndim == 2 else (0, 0)
    if rows != len(values) or not groups or values[0].size % groups:
        raise ArtifactError(f"The weights {name} have no scale for each of their rows.")
    steps, scales = values.reshape(rows, groups, -1), scale[..., None].astype(np.float32)
    weights: FloatArray = np.multiply(steps, scales, dtype=np.float32)
    return weights.reshape(values.shape)


def in_planes(kept: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return arrays with those in float16 as ``PLANES``, the same to the bit."""
    halves = {name: x for name, x in kept.items() if x.dtype == np.float16}
    planes = {
        name + PLANES: np.stack([x.view(np.uint16) & 0xFF, x.view(np.uint16) >> 8]).astype(np.uint8)
        for name, x in halves.items()
    }
    return {name: x for name, x in kept.items() if name not in halves} | planes


def from_planes(kept: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return what ``in_planes`` was made of."""
    arrays = {}
    for name, x in kept.items():
        if name.endswith(PLANES):
            low, high = x.astype(np.uint16)
            arrays[name.removesuffix(PLANES)] = (low | high << 8).view(np.float16)
        else:
            arrays[name] = x
    return arrays


def changed(
    name: str, weights: Mapping[str, FloatArray], changes: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Return the weights of the network ``name`` with what training adds to some of them.

    Raises
    ------
    ArtifactError
        If one that changes is not among them, or has another shape.
    """
    for key, change in changes.items():
        if key not in weights or weights[key].shape != change.shape:
            raise ArtifactError(f"What was trained of {name} is not all of that network: {key}.")
    return {**weights, **{key: weights[key] + change for key, change in changes.items()}}


def shipped(name: str) -> dict[str, NDArray[Any]]:
    """Return the weights of an encoder that ships, rounded, by their names in its torch network.

    Raises
    ------
    MismatchError
        If the installed file is another one.
    """
    content = shipped_file(f"{name}.safetensors").read_bytes()
    if sha256(content).hexdigest() != SHIPPED[name]:
        raise MismatchError(f"The weights of {name} are damaged: reinstall visita.")
    return from_planes(load(content))


def shipped_file(name: str) -> Path:
    """Return a file that lies beside the weights, such as a tokenizer.

    Raises
    ------
    MismatchError
        If it is missing.
    """
    path = PLACE / name
    if not path.is_file():
        raise MismatchError(f"{path} is missing: reinstall visita.")
    return path
