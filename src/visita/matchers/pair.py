"""How well one picture and one text fit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Pair:
    """One picture and one text.

    Attributes
    ----------
    score : float
        As in a search.
    probability : float or None
        That they belong together, where as many pairs do as do not; None if the matcher was not
        taught to tell.
    threshold : float or None
        Of the probability where there is one, else of the score: from it on they match.
    """

    score: float
    probability: float | None
    threshold: float | None

    @property
    def told_by(self) -> float:
        """What the threshold is of."""
        return self.score if self.probability is None else self.probability

    @property
    def match(self) -> bool | None:
        """Whether they match; None without a threshold."""
        return None if self.threshold is None else self.told_by >= self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {**asdict(self), "match": self.match}

    def __str__(self) -> str:
        """Return the verdict and the numbers."""
        score = f"score {self.score:.3f}"
        if self.threshold is None:
            return f"{score}; this matcher has no threshold"
        verdict = "match" if self.match else "no match"
        if self.probability is None:
            return f"{verdict}: {score}, threshold {self.threshold:.3f}"
        return f"{verdict}: probability {self.probability:.3f}, {score}"
