"""Pictures as pixels, for what learns from these: whole, or a random view drawn anew each time."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visita.data.augment import varied
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
        return np.stack(list(self._threads.map(self._whole, rows)))

    def varied(
        self,
        batches: Iterable[NDArray[np.int64]],
        side: int,
        rng: np.random.Generator,
        *,
        mirror: bool,
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield random views of the pictures of each batch, uint8 (b, side, side, 3).

        While one is learnt from, the next is read.

        Raises
        ------
        PictureError
            If one can no longer be decoded.
        """
        read = partial(self._varied, side=side, mirror=mirror)
        ahead: deque[Iterator[NDArray[np.uint8]]] = deque()
        for rows in batches:
            ahead.append(self._threads.map(read, rows, rng.integers(0, 2**63, len(rows))))
            if len(ahead) > 1:
                yield np.stack(list(ahead.popleft()))
        while ahead:
            yield np.stack(list(ahead.popleft()))

    def _whole(self, row: int) -> NDArray[np.uint8]:
        with decoding(self._paths[row], reduced=self._encoder.reduced) as picture:
            return self._encoder.prepare(picture)

    def _varied(self, row: int, seed: int, *, side: int, mirror: bool) -> NDArray[np.uint8]:
        with decoding(self._paths[row], reduced=self._encoder.reduced) as picture:
            view = varied(picture, side, seed, mirror=mirror)
        # An encoder may lay its input out in its own way, which is of its own side alone.
        return self._encoder.prepare(view) if side == self._encoder.side else np.asarray(view)
