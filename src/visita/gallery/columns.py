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


@dataclass(frozen=True, eq=False)
class Live:
    """A column as if the rows that belong to no one, which damage may have taken, were 0.

    Attributes
    ----------
    column : (m, …) array
        Memory-mapped.
    live : bool (m,)
        Of each row, whether it is someone's.
    """

    column: NDArray[Any]
    live: NDArray[np.bool_]

    @property
    def shape(self) -> tuple[int, ...]:
        """The column's."""
        return self.column.shape

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        found = np.array(self.column[rows])
        found[~self.live[rows]] = 0
        return found
