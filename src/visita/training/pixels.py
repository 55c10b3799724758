"""Pictures as a network's input, read when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from visita.data.augment import cropped, mirrored
from visita.data.decode import decoding
from visita.encoders.engine import cores
from visita.types import ImageEncoder


class Pixels:
    """The pictures of n files, prepared for ``encoder``; a thread a core reads them."""

    def __init__(self, encoder: ImageEncoder, paths: Sequence[Path]) -> None:
        self._encoder = encoder
        self._paths = paths
        self._threads = ThreadPoolExecutor(cores())

    def __len__(self) -> int:
        """Return n."""
        return len(self._paths)

    def whole(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return pictures as they are, uint8 (b, side, side, 3).

        Raises
        ------
        PictureError
            If one can no longer be decoded.
        """
        return np.stack(list(self._threads.map(self._prepared, rows)))

    def varied(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.uint8]:
        """Return random parts of pictures, every other one mirrored by chance.

        Raises
        ------
        PictureError
            If one can no longer be decoded.
        """
        seeds = rng.integers(0, 2**63, len(rows))
        return np.stack(list(self._threads.map(self._prepared, rows, seeds)))

    def _prepared(self, row: int, seed: int | None = None) -> NDArray[np.uint8]:
        with decoding(self._paths[row], reduced=self._encoder.reduced) as picture:
            return self._encoder.prepare(picture if seed is None else _varied(picture, seed))


def _varied(picture: Image, seed: int) -> Image:
    rng = np.random.default_rng(seed)
    part = cropped(picture, rng)
    return mirrored(part) if rng.random() < 0.5 else part
