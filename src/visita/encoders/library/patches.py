"""Pictures in their own shape, cut into patches, as SigLIP 2 (NaFlex) reads them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, isqrt

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

BYTE = 256
NEAR = 1e-5
"""How exactly the largest size that fits is searched for, as transformers does."""


@dataclass(frozen=True)
class PatchPreparation:
    """Resize to as many patches as fit, and lay them out on a canvas of one size.

    The canvas is a square of patches, filled row by row. The first pixels of the last patch,
    which no picture needs, say how many patches the picture is high and wide.

    Attributes
    ----------
    patch : int
        Pixels a side of a patch.
    most : int
        Patches of a picture, at most.
    resample : str
        Name of Pillow's filter, such as "BILINEAR".
    mean, std : three floats each
        Of red, green and blue, after dividing by ``divisor``.
    divisor : float
        What makes 0 … 255 the network's scale.
    """

    patch: int
    most: int
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    divisor: float = 255.0

    @property
    def cells(self) -> int:
        """Patches a side of the canvas: room for all of them and the last one."""
        return isqrt(self.most) + 1

    @property
    def side(self) -> int:
        """Pixels a side of the canvas."""
        return self.cells * self.patch

    def __call__(self, picture: Image) -> NDArray[np.uint8]:
        """Return the canvas of an RGB picture, uint8 (side, side, 3)."""
        high, wide = self.shape(*picture.size)
        size = (wide * self.patch, high * self.patch)
        if picture.size != size:
            picture = picture.resize(size, Resampling[self.resample])
        return self._laid_out(np.asarray(picture, np.uint8))

    def mirrored(self, canvases: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the canvases of the mirrored pictures, uint8 (b, side, side, 3)."""
        return np.stack([self._laid_out(self._picture(canvas)[:, ::-1]) for canvas in canvases])

    def _laid_out(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        high, wide = (edge // self.patch for edge in pixels.shape[:2])
        patches = np.zeros((self.cells**2, self.patch, self.patch, 3), np.uint8)
        patches[: high * wide] = _cut(pixels, self.patch)
        patches[-1, 0, 0] = (*divmod(high, BYTE), 0)
        patches[-1, 0, 1] = (*divmod(wide, BYTE), 0)
        return _joined(patches, self.cells)

    def _picture(self, canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
        patches = _cut(canvas, self.patch)
        (high, wide) = (patches[-1, 0, :2, :2].astype(np.int64) @ (BYTE, 1)).tolist()
        return _joined(patches[: high * wide], wide)

    def shape(self, width: int, height: int) -> tuple[int, int]:
        """Return how many patches high and wide a picture of so many pixels becomes."""
        low, high = NEAR / 10, 100.0
        while high - low >= NEAR:
            scale = (low + high) / 2
            rows, columns = self._patches(height, scale), self._patches(width, scale)
            low, high = (scale, high) if rows * columns <= self.most else (low, scale)
        return self._patches(height, low), self._patches(width, low)

    def _patches(self, edge: int, scale: float) -> int:
        return max(1, ceil(edge * scale / self.patch))


def _cut(pixels: NDArray[np.uint8], patch: int) -> NDArray[np.uint8]:
    """Return the patches of an array (high * patch, wide * patch, 3), row by row."""
    high, wide = (edge // patch for edge in pixels.shape[:2])
    rows = pixels.reshape(high, patch, wide, patch, 3).swapaxes(1, 2)
    return rows.reshape(high * wide, patch, patch, 3)


def _joined(patches: NDArray[np.uint8], wide: int) -> NDArray[np.uint8]:
    """Return the array of which these are the patches, so many side by side."""
    _, patch, _, colours = patches.shape
    rows = patches.reshape(-1, wide, patch, patch, colours).swapaxes(1, 2)
    return np.ascontiguousarray(rows).reshape(-1, wide * patch, colours)
