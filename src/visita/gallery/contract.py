"""What an engine that finds the nearest vectors has to do."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from visita.types import FloatArray


class Index(Protocol):
    """Vectors of n pictures, searchable by inner product; built from float32 (n, d).

    ``visita.testing.check_index`` tells whether an engine keeps this contract.
    """

    def __len__(self) -> int:
        """Return n."""
        ...

    def search(self, queries: FloatArray, k: int) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the min(k, n) best rows of each query and their scores, best first.

        Parameters
        ----------
        queries : float32 (q, d)
        k : int
            At least 1.

        Returns
        -------
        rows : int64 (q, min(k, n))
            Of equal scores, the lower row comes first.
        scores : float32 (q, min(k, n))
            Inner products.

        Raises
        ------
        DataError
            If the queries have another width than the vectors, or are not finite.
        ConfigError
            If k is below 1.
        """
        ...
