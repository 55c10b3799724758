"""What a gallery keeps of a picture's features: steps of a few bits, in one column.

The numbers of one level of one picture are cut into equal steps between the least and the
greatest of them: of their square roots where none is below 0, as such features have many small
numbers and few large ones. Vectors are made of what is kept, so those that are made again are the
same. Grids stay float16, and what is a vector already stays float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.encoders.pretrained.text import VECTOR
from visita.store.layout import Shapes
from visita.types import FloatArray

BITS = 6
FEATURES = "features"
"""The column that has all levels that are packed."""
RULE = f"{BITS} bits between least and greatest, of roots where none is below 0"
_ENDS = 2 * np.dtype(np.float32).itemsize


def packed_width(numbers: int) -> int:
    """Return how many bytes so many numbers of one level take."""
    return _ENDS + -(-numbers * BITS // 8)


def pack(values: FloatArray) -> NDArray[np.uint8]:
    """Return numbers of one level, float32 (n, d), as bytes, (n, ``packed_width(d)``)."""
    lowest, highest = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    ends = np.ascontiguousarray(np.hstack([lowest, highest]), "<f4")
    low, step = _scale(ends)
    spread = np.where(lowest >= 0, np.sqrt(np.maximum(values, 0)), values) - low
    steps = np.rint(spread / np.where(step > 0, step, 1)).astype(np.uint8)
    bits = np.unpackbits(steps[..., None], axis=2, bitorder="little", count=BITS)
    packed = np.packbits(bits.reshape(len(values), -1), axis=1, bitorder="little")
    return np.hstack([ends.view(np.uint8), packed])


def unpack(packed: NDArray[np.uint8], numbers: int) -> FloatArray:
    """Return the ``numbers`` that rows of bytes stand for, float32 (n, numbers)."""
    low, step = _scale(np.ascontiguousarray(packed[:, :_ENDS]).view("<f4"))
    bits = np.unpackbits(packed[:, _ENDS:], axis=1, bitorder="little", count=numbers * BITS)
    cells = bits.reshape(len(packed), numbers, BITS)
    values = low + np.packbits(cells, axis=2, bitorder="little")[..., 0] * step
    return np.where(_signed(packed), values, values * values).astype(np.float32)


def _signed(packed: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell of rows of bytes whether a number of theirs is below 0, (n, 1)."""
    return np.ascontiguousarray(packed[:, :4]).view("<f4") < 0


def _scale(ends: NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Return where the steps begin and how large one is, (n, 1) each."""
    scaled = np.where(ends[:, :1] < 0, ends, np.sqrt(np.maximum(ends, 0)))
    low, high = scaled[:, :1], scaled[:, 1:]
    return low, np.asarray((high - low) / np.float32(2**BITS - 1), np.float32)


class Packing:
    """How the columns of an encoder are kept.

    Parameters
    ----------
    columns
        The shape of a row of each.
    """

    def __init__(self, columns: Mapping[str, int | tuple[int, ...]]) -> None:
        shapes = {
            name: (shape,) if isinstance(shape, int) else shape for name, shape in columns.items()
        }
        self._pooled = {
            name: shape[0]
            for name, shape in shapes.items()
            if len(shape) == 1 and not _is_promised(name)
        }
        self._others = {name: shape for name, shape in shapes.items() if name not in self._pooled}

    @property
    def columns(self) -> Shapes:
        """Shape of a row of each column that is kept."""
        width = sum(map(packed_width, self._pooled.values()))
        pooled = {FEATURES: np.dtype((np.uint8, (width,)))} if width else {}
        return {**pooled, **self._others}

    @property
    def facts(self) -> dict[str, Any]:
        """What else has to be known to read it."""
        return {"kept": RULE, "levels": self._pooled} if self._pooled else {}

    def pack(self, columns: Mapping[str, FloatArray]) -> dict[str, NDArray[Any]]:
        """Return what is kept of some rows of the encoder's columns, (b, …) each."""
        kept: dict[str, NDArray[Any]] = {name: columns[name] for name in self._others}
        if self._pooled:
            kept[FEATURES] = np.hstack(
                [pack(np.asarray(columns[name], np.float32)) for name in self._pooled]
            )
        return kept

    def unpack(
        self, kept: Mapping[str, NDArray[Any]], rows: Sequence[int] | slice = slice(None)
    ) -> dict[str, FloatArray]:
        """Return some rows of the encoder's columns, from what is kept."""
        columns = {name: kept[name][rows] for name in self._others}
        if self._pooled:
            widths = [packed_width(numbers) for numbers in self._pooled.values()]
            parts = np.split(kept[FEATURES][rows], np.cumsum(widths)[:-1], axis=1)
            for (name, numbers), part in zip(self._pooled.items(), parts, strict=True):
                columns[name] = unpack(part, numbers)
        return columns


def _is_promised(column: str) -> bool:
    """Tell the vector of a pretrained encoder, which is to be that of its library, by its name."""
    return column.rpartition("/")[2] == VECTOR


def as_kept(columns: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Return the columns of pictures, (b, …) each, as a gallery would give them back.

    So pictures from anywhere have the vectors that they would have in a gallery.
    """
    packing = Packing({name: values.shape[1:] for name, values in columns.items()})
    return packing.unpack(packing.pack(columns))
