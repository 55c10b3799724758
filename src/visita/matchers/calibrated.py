"""What every matcher knows of its scores: which are a match, and how probable one is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from visita.artifact import Manifest, Name
from visita.matchers.calibration import Calibration
from visita.matchers.coefficients import Coefficients
from visita.matchers.match_probability import MatchProbability
from visita.types import FloatArray, Recipe


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """A ``Judge``.

    Attributes
    ----------
    threshold : float or None
        From this score a pair is a match, or from this P(match), where there is that.
    calibration, keyword_calibration : Calibration or None
        Of sentences, and of one to three words, in a search.
    match_probability : MatchProbability or None
        Of a pair by itself.
    """

    name: str
    threshold: float | None = None
    calibration: Calibration | None = None
    keyword_calibration: Calibration | None = None
    match_probability: MatchProbability | None = None

    def probability(
        self, scores: FloatArray, gallery_size: int, *, keywords: bool = False
    ) -> FloatArray | None:
        """Return P(match | score, gallery size) for each score, or None if never calibrated.

        ``keywords`` asks for that of one to three words, which many pictures may match;
        where it was not fitted, the one of sentences stands in.
        """
        own = self.keyword_calibration if keywords else None
        chosen = own or self.calibration
        return None if chosen is None else chosen.probability(scores, gallery_size)

    def calibrated(self) -> dict[str, Any]:
        """Return the fields as JSON values, for a manifest."""
        return {
            "name": self.name,
            "threshold": self.threshold,
            "calibration": _numbers(self.calibration),
            "keyword_calibration": _numbers(self.keyword_calibration),
            "match_probability": _numbers(self.match_probability),
        }


class SavedMatcher(Manifest):
    """What the manifest of every kind of matcher says; the fields are those of ``Calibrated``."""

    name: Name
    threshold: float | None
    calibration: Calibration | None
    keyword_calibration: Calibration | None
    match_probability: MatchProbability | None = None
    """There was none always."""
    fingerprint: Name
    facts: dict[str, Any]

    def calibrated(self) -> dict[str, Any]:
        """Return the fields that every matcher has."""
        names = ("name", "threshold", "calibration", "keyword_calibration", "match_probability")
        return {name: getattr(self, name) for name in names}


class SavedRecipe(BaseModel):
    """A ``Recipe``."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    levels: Annotated[
        dict[Name, Annotated[tuple[Name, ...], Field(min_length=1)]], Field(min_length=1)
    ]
    mirror: bool = False

    def recipe(self) -> Recipe:
        """Return it."""
        return Recipe(self.levels, self.mirror)


def _numbers(fitted: Coefficients | None) -> dict[str, float] | None:
    return fitted.to_dict() if fitted else None
