"""Two stages: one vector a picture finds the first few, a closer look orders them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field

from visita.artifact import fingerprint_of, read_manifest, write_folder
from visita.matchers.calibrated import Calibrated, SavedMatcher
from visita.matchers.kinds import load_folder
from visita.matchers.rescorer import Rescorer
from visita.types import FloatArray, Matcher, Recipe, TextEncoder, TextFeatures

KIND = "two-stage matcher"
FIRST, SECOND = "first", "second"
DEPTH = 50
"""How many of the first stage's best the second looks at, unless a matcher says otherwise."""


@dataclass(frozen=True, repr=False)
class TwoStageMatcher(Calibrated):
    """A ``Matcher`` whose vectors are the first stage's, and which scores pairs more closely.

    Threshold and probabilities are those of both stages together.

    Attributes
    ----------
    first : Matcher
    second : Rescorer
    weight : float
        beta of the second stage; the first has 1 - beta.
    depth : int
        How many of the first stage's best the second looks at.
    facts : dict
        What ran: configuration, versions, data, numbers.
    """

    first: Matcher
    second: Rescorer
    weight: float
    depth: int = DEPTH
    facts: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> str:
        """Return a hash over everything that decides the scores, encoders included."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        stages = self.first.fingerprint(), self.second.fingerprint()
        # The usual depth was not part of it always.
        depth = [] if self.depth == DEPTH else [self.depth]
        return fingerprint_of([KIND, stages, self.weight, *depth])

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.first.dim

    @property
    def words(self) -> Callable[[FloatArray], FloatArray] | None:
        """What finds the pictures of single words, by the first stage's vectors."""
        return self.first.words

    @property
    def background(self) -> FloatArray | None:
        """The first stage's vectors of pictures that stand for any, or None."""
        return self.first.background

    @cached_property
    def recipe(self) -> Recipe:
        """The features that either stage needs."""
        return Recipe.union([self.first.recipe, self.second.recipe])

    @property
    def text_encoder(self) -> str:
        """Name of the first stage's text encoder."""
        return self.first.text_encoder

    @property
    def text_levels(self) -> tuple[str, ...]:
        """Its levels."""
        return self.first.text_levels

    def open_text_encoder(self) -> TextEncoder:
        """Return the first stage's text encoder."""
        return self.first.open_text_encoder()

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return unit vectors, float32 (n, dim), from the recipe's columns."""
        return self.first.embed_images(columns)

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return unit vectors, float32 (m, dim)."""
        return self.first.embed_texts(texts)

    def combine(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return the score of pairs from those of the two stages, of one shape."""
        return (1 - self.weight) * first + self.weight * second

    def save(self, folder: Path, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write the matcher as an artifact folder, atomically, both stages inside.

        ``beside`` may write further files into the folder it is given.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        saved = {
            **self.calibrated(),
            "weight": self.weight,
            "depth": self.depth,
            "fingerprint": self.fingerprint(),
            "facts": dict(self.facts),
        }
        with write_folder(folder, KIND, saved) as draft:
            self.first.save(draft / FIRST)
            self.second.save(draft / SECOND)
            if beside:
                beside(draft)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved matcher.

        Raises
        ------
        ArtifactError
            If the folder is not a whole two-stage matcher.
        MismatchError
            If an encoder differs from the one that a stage was trained with.
        """
        saved = read_manifest(folder, KIND, SavedTwoStage)
        return cls(
            **saved.calibrated(),
            first=load_folder(folder / FIRST),
            second=Rescorer.load(folder / SECOND),
            weight=saved.weight,
            depth=saved.depth,
            facts=saved.facts,
        )


class SavedTwoStage(SavedMatcher):
    """The manifest of a ``TwoStageMatcher``."""

    weight: Annotated[float, Field(ge=0, le=1)]
    depth: Annotated[int, Field(ge=1, le=100_000)] = DEPTH


def first_stage(matcher: Matcher) -> Matcher:
    """Return what makes the matcher's vectors: its first stage, or itself where it is all."""
    return matcher.first if isinstance(matcher, TwoStageMatcher) else matcher
