"""The cells of a robustness run: matchers on pairs as they are, and on pictures made worse.

A gallery is made worse as a whole, at one strength; the texts stay as they are. A cell holds
ranks alone, from which the report measures whatever it shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256

import numpy as np

from visita.data.corruptions import CORRUPTIONS, RULES, STRENGTHS
from visita.errors import DataError
from visita.evaluation.intervals import components
from visita.evaluation.retrieval import Retrieval, measure_ranks
from visita.experiments.cells import Cell, Result
from visita.store.altered import CorruptedEncoder
from visita.store.extract import PairFeatures, image_features
from visita.store.pictures import RecipeEncoder
from visita.types import FloatArray, Matcher


@dataclass(frozen=True, eq=False)
class Subject:
    """A matcher and the pairs it is measured on.

    Attributes
    ----------
    name, data : str
        What the report calls the matcher and the pairs.
    matcher : Matcher
    features : PairFeatures
        Of the pictures as they are.
    """

    name: str
    data: str
    matcher: Matcher
    features: PairFeatures

    @cached_property
    def encoders(self) -> list[RecipeEncoder]:
        """What computes the columns that the matcher reads, an encoder each."""
        return [RecipeEncoder(one) for one in self.matcher.recipe.by_encoder()]

    @cached_property
    def fingerprint(self) -> str:
        """A hash over the matcher, the pairs and the features of their pictures."""
        digest = sha256(
            f"{self.matcher.fingerprint()} {self.features.pairs.fingerprint()}".encode()
        )
        for name, values in sorted(self.features.columns.items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]

    def columns(self, corruption: str | None, strength: int) -> dict[str, FloatArray]:
        """Return the columns of the pictures, made worse or as they are.

        Raises
        ------
        DataError
            If a picture can no longer be read.
        """
        if corruption is None:
            return self.features.columns
        pairs = self.features.pairs
        columns: dict[str, FloatArray] = {}
        for encoder in self.encoders:
            worse = CorruptedEncoder(encoder, corruption, strength)
            kept, some = image_features(pairs, worse)
            if len(kept.image_ids) < len(pairs.image_ids):
                raise DataError("Some pictures can no longer be read; see above, and run again.")
            columns |= some
        return columns


@dataclass(frozen=True)
class Condition:
    """One measurement: a subject and what is done to its pictures, None for nothing."""

    subject: Subject
    corruption: str | None = None
    strength: int = 0

    @property
    def name(self) -> str:
        """What the cell is called."""
        done = (self.corruption, str(self.strength)) if self.corruption else ()
        return ", ".join((self.subject.name, self.subject.data, " ".join(done) or "as it is"))

    def cell(self) -> Cell:
        """Return the cell that holds its ranks."""
        settings = {"subject": self.subject.fingerprint, "corruption": None}
        if self.corruption:
            amount = CORRUPTIONS[self.corruption].amounts[self.strength - 1]
            settings["corruption"] = f"{RULES}/{self.corruption}/{amount}"
        return Cell(self.name, settings)

    def features(self) -> PairFeatures:
        """Return what is measured.

        Raises
        ------
        DataError
            If a picture can no longer be read.
        """
        return replace(
            self.subject.features, columns=self.subject.columns(self.corruption, self.strength)
        )

    def measure(self, result: Result, seed: int) -> Retrieval:
        """Return both directions with intervals; the arrays are the ranks.

        They are int64, ``images`` (n, 3) and ``texts`` (m, 3).
        """
        groups = components(self.subject.features.pairs.truth)
        images, texts = (result.arrays[side][None] for side in ("images", "texts"))
        return measure_ranks(images, texts, groups, seed=seed)


def plan(home: Sequence[Subject], travel: Sequence[Subject]) -> list[Condition]:
    """Return what is measured: all subjects as they are, those at home with each corruption too."""
    return [
        *(Condition(subject) for subject in (*home, *travel)),
        *(
            Condition(subject, corruption, strength)
            for subject in home
            for corruption in CORRUPTIONS
            for strength in STRENGTHS
        ),
    ]
