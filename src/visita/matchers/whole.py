"""Vectors from what packs pictures and texts: its first row, the whole picture and sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from visita.artifact import fingerprint_of
from visita.errors import ArtifactError
from visita.matchers.base import BaseMatcher, SavedMatcher
from visita.matchers.cross_modal import CrossModalReranker
from visita.types import FloatArray, Recipe, TextEncoder, TextFeatures
from visita.vectors import unit

KIND = "whole matcher"
SECOND = "second"


class WholeTexts:
    """A ``TextEncoder`` that gives a text's vector right away, one passage a text."""

    name = "whole"
    levels: tuple[str, ...] = ("sentence",)

    def __init__(self, packer: CrossModalReranker) -> None:
        self.packer = packer
        self.dim = int(packer.network["dim"])

    @property
    def languages(self) -> tuple[str, ...] | None:
        """Those of the encoder of its tokens."""
        return self.packer.open_text_encoder().languages

    def fingerprint(self) -> str:
        """Return a hash over everything that decides the vectors."""
        return fingerprint_of([KIND, self.packer.fingerprint()])

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return the vector of each text, float32 (m, dim)."""
        rows = [packed[0, : self.dim] for packed in self.packer.pack_texts(texts)]
        vectors = np.array(rows, np.float32).reshape(len(texts), self.dim)
        return TextFeatures(np.arange(len(texts) + 1, dtype=np.int64), vectors)


@dataclass(frozen=True, repr=False)
class WholeMatcher(BaseMatcher):
    """A ``Matcher`` whose vectors are the first row of what a re-ranker packs.

    Attributes
    ----------
    packer : CrossModalReranker
    """

    packer: CrossModalReranker

    kind = KIND
    schema = SavedMatcher

    def identity(self) -> list[str]:
        """Return what packs."""
        return [KIND, self.packer.fingerprint()]

    def write(self, draft: Path) -> None:
        """Write what packs, a folder of its own."""
        self.packer.save(draft / SECOND)

    @classmethod
    def read(cls, folder: Path, saved: SavedMatcher) -> Self:
        """Return what was saved in ``folder``."""
        packer = CrossModalReranker.load(folder / SECOND)
        if not 1 <= packer.network.get("dim", 0) <= packer.packed_shape[1]:
            raise ArtifactError(f"{folder / SECOND} packs no vector of the whole.")
        return cls(**saved.shared(), packer=packer)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.packer.network["dim"])

    @property
    def recipe(self) -> Recipe:
        """The grids that a picture needs."""
        return self.packer.recipe

    @property
    def text_encoder(self) -> str:
        """Name of the text encoder."""
        return WholeTexts.name

    @property
    def text_levels(self) -> tuple[str, ...]:
        """Its levels."""
        return WholeTexts.levels

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from."""
        return WholeTexts(self.packer)

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return unit vectors, float32 (n, dim), from the recipe's columns.

        Raises
        ------
        MismatchError
            If a column of the recipe is missing.
        """
        return unit(self.packer.pack_images(columns)[:, 0, : self.dim].astype(np.float32))

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return unit vectors, float32 (m, dim)."""
        return unit(texts.pooled())
