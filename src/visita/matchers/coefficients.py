"""The numbers of a fitted formula, as a manifest keeps them: by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from visita.errors import ArtifactError


@dataclass(frozen=True)
class Coefficients:
    """Numbers by name. One whose default is None may be missing.

    Raises
    ------
    ArtifactError
        If they are not ``usable``.
    """

    def __post_init__(self) -> None:
        if not self.usable():
            raise ArtifactError(f"{self} is not usable; fit it again.")

    def usable(self) -> bool:
        """Tell whether all numbers are finite."""
        return all(map(math.isfinite, self.to_dict().values()))

    def to_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Self:
        """Return what ``to_dict`` wrote.

        Raises
        ------
        ArtifactError
            If a number is missing or unknown, or they are not usable.
        """
        known = {field.name: field.default is MISSING for field in fields(cls)}
        needed = {name for name, always in known.items() if always}
        if not needed <= set(values) <= set(known):
            raise ArtifactError(
                f"A {cls.__name__} holds {', '.join(known)}, not "
                f"{', '.join(values) or 'nothing'}; fit it again."
            )
        return cls(**{name: float(value) for name, value in values.items()})


def sigmoid(log_odds: NDArray[Any]) -> NDArray[np.float32]:
    """Return the probabilities of log-odds, float32 of the same shape; none overflows."""
    found: NDArray[np.float32] = np.exp(-np.logaddexp(0, -log_odds)).astype(np.float32)
    return found
