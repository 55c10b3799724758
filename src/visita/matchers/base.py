"""The matcher that training returns: two-sided networks joined into one vector a side."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from visita.artifact import MANIFEST, Manifest, Name
from visita.encoders.library.hub import no_fetching
from visita.errors import ArtifactError
from visita.jsonfile import read_json
from visita.matchers.probability import (
    Calibration,
    Coefficients,
    KeywordCalibration,
    MatchProbability,
    usual_scores,
)
from visita.matchers.words import WordMap
from visita.registry import Registry
from visita.types import FloatArray, Matcher, Recipe, Reranker

KIND = "matcher"


KINDS = Registry(
    "kind of matcher",
    {
        KIND: "visita.matchers.embed:JointMatcher",
        "fused matcher": "visita.matchers.fused:FusedMatcher",
        "scaled matcher": "visita.matchers.scaled:ScaledMatcher",
        "two-stage matcher": "visita.matchers.rerank:RerankedMatcher",
        "whole matcher": "visita.matchers.whole:WholeMatcher",
        "pretrained matcher": "visita.matchers.pretrained:PretrainedFolder",
    },
)


def load_folder(folder: Path) -> Matcher:
    """Return the matcher saved in ``folder``, of whatever kind; nothing that it names is fetched.

    Raises
    ------
    ArtifactError
        If the folder is not a whole matcher.
    MismatchError
        If an encoder differs from the one it was trained with.
    """
    path = folder / MANIFEST
    kind = str(read_json(path).get("visita")) if path.is_file() else KIND
    # Anything else a matcher refuses, and says what it is.
    kinds = KINDS.load(kind if kind in KINDS else KIND)
    try:
        with no_fetching():
            matcher: Matcher = kinds.load(folder)
    except RecursionError as error:
        raise ArtifactError(f"{folder} holds too many matchers within each other.") from error
    known = matcher.match_probability
    stages = 1 if matcher.reranker is None else 2
    if isinstance(known, MatchProbability) and known.stages != stages:
        raise ArtifactError(f"{folder} tells matches by other stages than it has.")
    return matcher


STANDARD = KeywordCalibration(intercept=11.8, score=0.0, height=1.63, spread=5.3)
"""Those of visita-small without its map of words: what a word usually scores is measured, so they
fit others too."""


class Unranked:
    """What a matcher answers that re-ranks nothing; one that does replaces it."""

    reranker: Reranker | None = None
    weight: float = 0.0
    """beta of the re-ranker; the vectors have 1 - beta."""
    depth: int = 0

    @property
    def retriever(self) -> Any:
        """What makes the vectors."""
        return self

    def combine(self, first: FloatArray, reranked: FloatArray) -> FloatArray:
        """Return the score of pairs from those of vectors and re-ranker, of one shape."""
        return (1 - self.weight) * first + self.weight * reranked


@dataclass(frozen=True, kw_only=True, repr=False)
class Calibrated(Unranked):
    """A ``Judge``.

    Attributes
    ----------
    threshold : float or None
        From this score a pair is a match, or from this P(match), where there is that.
    calibration : Calibration or None
        Of sentences in a search.
    keyword_calibration : KeywordCalibration or None
        Of one to three words.
    match_probability : MatchProbability or None
        Of a pair by itself.
    """

    name: str
    threshold: float | None = None
    calibration: Calibration | None = None
    keyword_calibration: KeywordCalibration | None = None
    match_probability: MatchProbability | None = None

    @property
    def words(self) -> Callable[[FloatArray], FloatArray] | None:
        """What finds the pictures of single words, where that was learnt."""
        return None

    @property
    def background(self) -> FloatArray | None:
        """Vectors of pictures that stand for any, float32 (b, dim); None if there are none."""
        return self.words.background if isinstance(self.words, WordMap) else None

    def __repr__(self) -> str:
        """Return the kind of matcher and its name."""
        return f"{type(self).__name__}({self.name!r})"

    def probability(
        self, scores: FloatArray, gallery_size: int, *, keywords: FloatArray | None = None
    ) -> FloatArray | None:
        """Return P(match | score, gallery size) for each score, or None if never calibrated.

        ``keywords`` is the vector (d,) of one to three words, by ``words`` where there is that, or
        of one text a score, (m, d): then it is the probability that a picture shows them,
        whatever the gallery. Where that was not
        fitted, what visita-small has stands in, or the probability of sentences where there is
        nothing to measure a score by.
        """
        if keywords is not None and (own := self._of_keywords()):
            return own.probability(scores, usual_scores(self.background, keywords))
        fitted = self.calibration
        return None if fitted is None else fitted.probability(scores, gallery_size)

    def _of_keywords(self) -> KeywordCalibration | None:
        stand_in = STANDARD if self.calibration and self.background is not None else None
        return self.keyword_calibration or stand_in

    def calibrated(self) -> dict[str, Any]:
        """Return the fields as JSON values, for a manifest."""
        return {
            "name": self.name,
            "threshold": self.threshold,
            "calibration": _numbers(self.calibration),
            "shows": _numbers(self.keyword_calibration),
            "match_probability": _numbers(self.match_probability),
        }


class SavedMatcher(Manifest):
    """What the manifest of every kind of matcher says; the fields are those of ``Calibrated``."""

    name: Name
    threshold: float | None
    calibration: Calibration | None
    keyword_calibration: dict[str, float] | None = None
    """Of another formula, once."""
    shows: KeywordCalibration | None = None
    match_probability: MatchProbability | None = None
    """There was none always."""
    fingerprint: Name
    facts: dict[str, Any]

    def calibrated(self) -> dict[str, Any]:
        """Return the fields that every matcher has."""
        names = ("name", "threshold", "calibration", "match_probability")
        return {name: getattr(self, name) for name in names} | {"keyword_calibration": self.shows}


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
