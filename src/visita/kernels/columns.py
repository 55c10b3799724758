"""Named features side by side, which kernels read by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from visita.brief import Brief
from visita.errors import DataError, UnknownNameError, did_you_mean
from visita.kernels.functions import Kernel
from visita.types import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Columns(Brief):
    """Several (n, d_k) features of the same n rows in one matrix.

    Attributes
    ----------
    values : float32 (n, sum of d_k)
    spans : mapping of str to (int, int)
        Where each name's columns are, end exclusive.
    """

    values: FloatArray
    spans: Mapping[str, tuple[int, int]]

    @classmethod
    def stack(cls, named: Mapping[str, FloatArray]) -> Self:
        """Lay float (n, d_k) features side by side, in their order.

        Raises
        ------
        DataError
            If there are none, or their rows are not as many.
        """
        if not named or len({len(part) for part in named.values()}) > 1:
            counts = ", ".join(f"{name} {len(part)}" for name, part in named.items())
            raise DataError(
                f"Columns need features of the same rows; there are {counts or 'none'}."
            )
        ends = np.cumsum([part.shape[1] for part in named.values()]).tolist()
        spans = dict(zip(named, zip([0, *ends], ends, strict=False), strict=True))
        return cls(np.concatenate(list(named.values()), axis=1).astype(np.float32), spans)

    def kernel(self, function: str, on: str, **parameters: float) -> Kernel:
        """Return a kernel over the columns called ``on``.

        Raises
        ------
        UnknownNameError
            If there are no such columns, or no such function.
        ConfigError
            If the function cannot have these parameters.
        """
        return Kernel.model_validate(
            {"function": function, "on": on, "span": self._span(on), **parameters}
        )

    def gamma(self, on: str) -> float:
        """Return 1 / (width × variance) of some columns, scikit-learn's ``scale``; 1 if constant.

        At this gamma an RBF kernel neither calls all rows equal nor each row unique.

        Raises
        ------
        UnknownNameError
            If there are no such columns.
        """
        read = self.values[:, slice(*self._span(on))]
        spread = float(read.var(axis=0, dtype=np.float64).sum())
        return 1 / spread if spread else 1.0

    def _span(self, on: str) -> tuple[int, int]:
        if on not in self.spans:
            raise UnknownNameError(
                f"No columns are called {on!r}.{did_you_mean(on, self.spans)} "
                f"Known: {', '.join(self.spans)}."
            )
        return self.spans[on]
