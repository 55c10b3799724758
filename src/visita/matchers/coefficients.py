"""The numbers of a fitted formula, as a manifest keeps them: by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from visita.errors import ArtifactError

LARGEST = 1e9
"""In a fitted formula a number beyond it says that nothing was fitted."""


@dataclass(frozen=True)
class Coefficients:
    """Numbers by name, as a manifest has them. One whose default is None may be missing.

    Raises
    ------
    ArtifactError
        If they are not ``usable``.
    """

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", allow_inf_nan=False)

    def __post_init__(self) -> None:
        if not self.usable():
            raise ArtifactError(f"{self} is not usable; fit it again.")

    def usable(self) -> bool:
        """Tell whether no number is as large as to overflow, or not finite."""
        return all(abs(value) < LARGEST for value in self.to_dict().values())

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def sigmoid(log_odds: NDArray[Any]) -> NDArray[np.float32]:
    """Return the probabilities of log-odds, float32 of the same shape; none overflows."""
    probabilities: NDArray[np.float32] = np.exp(-np.logaddexp(0, -log_odds)).astype(np.float32)
    return probabilities
