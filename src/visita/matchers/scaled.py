"""Local scaling, which penalises hubs: pictures near to every text, texts near to every picture.

Some pictures are the nearest of far too many texts, and some texts of far too many pictures:
hubs. So a similarity is divided by the root of how near either side usually comes to its own
nearest among training pairs (local scaling: Zelnik-Manor & Perona, 2004; between two sides and
with a bank from training, as CSLS, Conneau et al., 2018, and querybank normalisation, Bogolin
et al., 2022). A picture's own scale is the length of its vector, so that a search is an inner
product as before and the direction, by which pictures are like each other, stays what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from visita.artifact import fingerprint_of, read_arrays, read_manifest, write_arrays, write_folder
from visita.errors import ArtifactError
from visita.matchers.base import Calibrated, SavedMatcher, load_folder
from visita.matchers.words import WordMap
from visita.types import FloatArray, Matcher, Recipe, TextEncoder, TextFeatures

KIND = "scaled matcher"
PART = "part"
BANK = "bank.safetensors"
BACKGROUND = 500
"""Pictures of the bank, or somewhat more, that stand for any."""
ROWS = 4096
"""Vectors that are compared with the bank at once; bounds the memory of embedding millions."""


@dataclass(frozen=True, repr=False)
class ScaledMatcher(Calibrated):
    """A ``Matcher``: <x, y> least / √(r(x) r(y)), of the unit vectors of another.

    r(x) is the mean inner product of a picture with the ``neighbours`` texts of the bank that
    are nearest to it, but at least ``least``; r(y) that of a text with the pictures of the bank.

    Attributes
    ----------
    part : Matcher
    images, texts : float16 (b, dim)
        The bank: its vectors of training pairs.
    neighbours : int
        1 to b.
    least : float
        Above 0. What is this far from its nearest, or farther, has a vector of length 1.
    words : WordMap or None
        What finds the pictures of single words, where that was learnt.
    facts : dict
        What ran: configuration, versions, data, numbers.

    Raises
    ------
    ArtifactError
        If bank, neighbours or least do not suit each other or the part.
    """

    part: Matcher
    images: NDArray[np.float16]
    texts: NDArray[np.float16]
    neighbours: int
    least: float
    facts: Mapping[str, Any] = field(default_factory=dict)
    words: WordMap | None = None

    def __post_init__(self) -> None:
        banks = (self.images, self.texts)
        if any(bank.ndim != 2 or bank.shape[1] != self.part.dim for bank in banks):
            shapes = " and ".join(str(bank.shape) for bank in banks)
            raise ArtifactError(
                f"A bank for vectors of {self.part.dim} numbers cannot be {shapes}."
            )
        if not all(bank.dtype == np.float16 and np.isfinite(bank).all() for bank in banks):
            raise ArtifactError("The bank holds numbers that are not finite (NaN or infinite).")
        if not 1 <= self.neighbours <= min(map(len, banks)) or not 0 < self.least <= 1:
            raise ArtifactError(
                f"{self.neighbours} neighbours and least={self.least} do not suit a bank of "
                f"{len(self.images)} pictures and {len(self.texts)} texts."
            )

    def fingerprint(self) -> str:
        """Return a hash over everything that decides the vectors, encoders included."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        banks = [sha256(bank.tobytes()).hexdigest() for bank in (self.images, self.texts)]
        return fingerprint_of([KIND, self.part.fingerprint(), banks, self.neighbours, self.least])

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.part.dim

    @property
    def recipe(self) -> Recipe:
        """The features that a picture needs."""
        return self.part.recipe

    @property
    def text_encoder(self) -> str:
        """Name of the encoder that texts must come from."""
        return self.part.text_encoder

    @property
    def text_levels(self) -> tuple[str, ...]:
        """Its levels."""
        return self.part.text_levels

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from."""
        return self.part.open_text_encoder()

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return vectors of length at most 1, float32 (n, dim), from the recipe's columns.

        Raises
        ------
        MismatchError
            If a column of the recipe is missing.
        """
        vectors = self.part.embed_images(columns)
        return vectors * self.image_lengths(vectors)

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return vectors of length at most 1, float32 (m, dim)."""
        vectors = self.part.embed_texts(texts)
        return vectors * self.text_lengths(vectors)

    def image_lengths(self, vectors: FloatArray) -> FloatArray:
        """Return how long pictures with these unit vectors (n, dim) are, float32 (n, 1)."""
        return self._lengths(vectors, self.bank[1])

    def text_lengths(self, vectors: FloatArray) -> FloatArray:
        """Return how long texts with these unit vectors (m, dim) are, float32 (m, 1)."""
        return self._lengths(vectors, self.bank[0])

    @cached_property
    def background(self) -> FloatArray:
        """Vectors of some of the bank's pictures, float32 (b, dim), as long as in a search."""
        some = self.bank[0][:: max(1, len(self.images) // BACKGROUND)]
        return some * self.image_lengths(some)

    @cached_property
    def bank(self) -> tuple[FloatArray, FloatArray]:
        """The bank's vectors of images and of texts, float32 (b, dim)."""
        return self.images.astype(np.float32), self.texts.astype(np.float32)

    def _lengths(self, vectors: FloatArray, bank: FloatArray) -> FloatArray:
        starts = range(0, len(vectors), ROWS)
        near = [nearness(vectors[s : s + ROWS], bank, self.neighbours) for s in starts]
        found = np.concatenate([np.empty(0, np.float32), *near])
        least = np.float32(self.least)
        return np.asarray(np.sqrt(least / np.maximum(found, least))[:, None], np.float32)

    def save(self, folder: Path, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write the matcher as an artifact folder, atomically, its part inside.

        ``beside`` may write further files into the folder it is given.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        saved = {
            **self.calibrated(),
            "neighbours": self.neighbours,
            "least": self.least,
            "fingerprint": self.fingerprint(),
            "facts": dict(self.facts),
        }
        with write_folder(folder, KIND, saved) as draft:
            self.part.save(draft / PART)
            write_arrays(draft / BANK, {"images": self.images, "texts": self.texts})
            if self.words is not None:
                self.words.save(draft)
            if beside:
                beside(draft)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved matcher.

        Raises
        ------
        ArtifactError
            If the folder is not a whole scaled matcher.
        MismatchError
            If an encoder differs from the one that its part was trained with.
        """
        saved = read_manifest(folder, KIND, SavedScaled)
        bank = read_arrays(folder / BANK)
        if bank.keys() != {"images", "texts"}:
            raise ArtifactError(f"{folder / BANK} holds no bank of images and texts.")
        part = load_folder(folder / PART)
        return cls(
            **saved.calibrated(),
            part=part,
            images=bank["images"],
            texts=bank["texts"],
            neighbours=saved.neighbours,
            least=saved.least,
            facts=saved.facts,
            words=WordMap.read(folder, part.dim),
        )


class SavedScaled(SavedMatcher):
    """The manifest of a ``ScaledMatcher``."""

    neighbours: int
    least: Annotated[float, Field(ge=1e-9, le=1)]


def nearness(vectors: FloatArray, bank: FloatArray, neighbours: int) -> FloatArray:
    """Return the mean of each row's largest inner products with the bank, float32 (n,).

    Parameters
    ----------
    vectors, bank : float32 (n, d), (b, d)
    neighbours : int
        How many: 1 to b.
    """
    similar = vectors @ bank.T
    place = similar.shape[1] - neighbours
    return np.asarray(np.partition(similar, place, axis=1)[:, place:].mean(axis=1), np.float32)
