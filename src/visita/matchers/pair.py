"""How well one picture and one text fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from visita.errors import ConfigError
from visita.matchers.match_probability import EVEN


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


def without(wanted: Pair | None, unwanted: Sequence[Pair]) -> Pair:
    """Return the pair of a picture and a text of which parts are not to be there.

    Its probability is P(wanted) times 1 - P of each unwanted; its score the wanted's or, where
    there is none, less the unwanted's.

    Raises
    ------
    ConfigError
        If a probability is not known.
    """
    if wanted is not None and not unwanted:
        return wanted
    chances = [one.probability for one in unwanted]
    known = [1 - one for one in chances if one is not None]
    if wanted is not None and wanted.probability is not None:
        known.append(wanted.probability)
    if len(known) < len(chances) + (wanted is not None):
        raise ConfigError(
            "This matcher knows no probability that something is not in a picture: ask for what is "
            "in it, or choose another matcher, such as visita-small."
        )
    score = wanted.score if wanted is not None else -max(one.score for one in unwanted)
    return Pair(score, prod(known), EVEN)
