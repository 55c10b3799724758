"""The columns of a matcher in a gallery, and some of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

VECTOR = "vector"
PARTS = "parts"


@dataclass(frozen=True, eq=False)
class Taken:
    """Rows of a column that stays on disk: what is asked for is read, and nothing else.

    Attributes
    ----------
    column : (m, …) array
        Memory-mapped.
    rows : int64 (n,)
        Which are taken; one may be more than once.
    """

    column: NDArray[Any]
    rows: NDArray[np.int64]

    @classmethod
    def all_of(cls, column: NDArray[Any]) -> Taken:
        """Return every row of a column."""
        return cls(column, np.arange(len(column)))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        return np.asarray(self.column[self.rows[rows]])

    def only(self, rows: NDArray[np.int64]) -> Taken:
        """Return some of the rows."""
        return Taken(self.column, self.rows[rows])
