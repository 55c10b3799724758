"""Finding what one to three words name: a linear map of their vectors, learnt from captions.

A sentence says much of one picture, a word a little of many, and its vector lies between all that
it may mean. Which pictures captions call so is learnt as in zero-shot classification by a
bilinear form (Romera-Paredes & Torr, An embarrassingly simple approach to zero-shot learning,
ICML 2015): words that no caption had are mapped as those near to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from visita.artifact import read_arrays, write_arrays
from visita.errors import ArtifactError
from visita.types import FloatArray

FILE = "words.safetensors"


@dataclass(frozen=True, eq=False)
class WordMap:
    """Maps a matcher's vectors of words to those that find what the words name.

    Attributes
    ----------
    matrix : float16 (dim, dim)
    rows : float16 (b, dim) or None
        The matcher's vectors of pictures that stand for any, where it has none of its own.

    Raises
    ------
    ArtifactError
        If the shapes or types do not suit each other.
    """

    matrix: NDArray[np.float16]
    rows: NDArray[np.float16] | None = None

    def __post_init__(self) -> None:
        arrays = self._arrays()
        fits = all(
            array.ndim == 2 and array.shape[1] == len(self.matrix) for array in arrays.values()
        )
        if not fits or any(array.dtype != np.float16 for array in arrays.values()):
            shapes = " and ".join(f"{array.dtype} {array.shape}" for array in arrays.values())
            raise ArtifactError(f"A map of words cannot be made of {shapes}.")

    def _arrays(self) -> dict[str, NDArray[np.float16]]:
        rows = {} if self.rows is None else {"rows": self.rows}
        return {"matrix": self.matrix, **rows}

    @property
    def background(self) -> FloatArray | None:
        """The rows, float32."""
        return None if self.rows is None else self.rows.astype(np.float32)

    def __call__(self, vectors: FloatArray) -> FloatArray:
        """Return vectors at most 1 long, float32 (m, dim), for those of words, (m, dim)."""
        mapped = vectors @ self.matrix.astype(np.float32).T
        lengths = np.linalg.norm(mapped, axis=1, keepdims=True)
        return np.asarray(mapped / np.maximum(lengths, 1), np.float32)

    def save(self, folder: Path) -> None:
        """Write it into the draft of a matcher."""
        write_arrays(folder / FILE, self._arrays())

    @classmethod
    def read(cls, folder: Path, dim: int) -> Self | None:
        """Return that of a saved matcher of this width; None if it has none.

        Raises
        ------
        ArtifactError
            If it does not suit the matcher.
        """
        if not (folder / FILE).is_file():
            return None
        arrays = read_arrays(folder / FILE)
        complete = {"matrix"} <= set(arrays) <= {"matrix", "rows"}
        if not complete or arrays["matrix"].shape != (dim, dim):
            raise ArtifactError(f"{folder / FILE} is no map of words for vectors of {dim} numbers.")
        return cls(**arrays)
