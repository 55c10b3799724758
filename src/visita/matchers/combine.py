"""Matchers made of others: the weighted sum of their similarities, and local scaling.

The weighted sum of similarities is again one inner product, so there is still one vector a
picture.

Some pictures are the nearest of far too many texts, and some texts of far too many pictures:
hubs. Local scaling penalises them: a similarity is divided by the root of how near either side
usually comes to its own nearest among training pairs (Zelnik-Manor & Perona, 2004; between two
sides and with a bank from training, as CSLS, Conneau et al., 2018, and querybank normalisation,
Bogolin et al., 2022). A picture's own scale is the length of its vector, so that a search is an
inner product as before and the direction, by which pictures are like each other, stays what it
was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from visita.artifact import read_arrays, write_arrays
from visita.encoders.joined_text import JoinedText
from visita.errors import ArtifactError
from visita.matchers.base import OfOne, SavedMatcher, WordMatcher, load_folder
from visita.matchers.shares import Split, joined_length, named, placed, split
from visita.types import FloatArray, Matcher, Recipe, TextEncoder, TextFeatures
from visita.vectors import join, unit

BASIS = "basis.safetensors"
PART = "part"
BANK = "bank.safetensors"
BACKGROUND = 500
"""Pictures of the bank, or somewhat more, that stand for any."""
ROWS = 4096
"""Vectors that are compared with the bank at once; bounds the memory of embedding millions."""


class SavedFused(SavedMatcher):
    """The manifest of a ``FusedMatcher``."""

    weights: Annotated[tuple[float, ...], Field(min_length=1, max_length=1000)]
    shortened: bool


@dataclass(frozen=True, repr=False)
class FusedMatcher(WordMatcher):
    """A ``Matcher``: Σ_k beta_k k_k(image, text) over the similarities of other matchers.

    Attributes
    ----------
    parts : tuple of Matcher
    weights : tuple of float
        beta of each part, above 0, with sum 1.
    basis : float16 (sum of the parts' dims, dim) or None
        Orthonormal columns that shorten the joined vector, where it is too long.

    Raises
    ------
    ArtifactError
        If weights or basis do not suit the parts.
    """

    parts: tuple[Matcher, ...]
    weights: tuple[float, ...]
    basis: NDArray[np.float16] | None = None

    kind = "fused matcher"
    schema = SavedFused

    def __post_init__(self) -> None:
        joined = sum(part.dim for part in self.parts)
        if len(self.parts) != len(self.weights) or not self.parts:
            raise ArtifactError("A fused matcher has one or more parts, and a weight for each.")
        if not min(self.weights) > 0 or not math.isclose(sum(self.weights), 1, rel_tol=1e-6):
            raise ArtifactError(f"Weights are above 0 and have sum 1, unlike {self.weights}.")
        shape = (joined, 1) if self.basis is None else self.basis.shape
        if len(shape) != 2 or shape[0] != joined or not shape[1]:
            raise ArtifactError(f"A basis for {joined} numbers cannot be {shape}.")

    def identity(self) -> list[Any]:
        """Return the parts' fingerprints, weights and basis."""
        parts = [part.fingerprint() for part in self.parts]
        basis = None if self.basis is None else sha256(self.basis.tobytes()).hexdigest()
        return [self.kind, parts, self.weights, basis]

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {**super().stated(), "weights": self.weights, "shortened": self.basis is not None}

    def write(self, draft: Path) -> None:
        """Write the parts, each a folder of its own, the basis and the map of words."""
        for number, part in enumerate(self.parts):
            part.save(draft / part_folder(number))
        if self.basis is not None:
            write_arrays(draft / BASIS, {"basis": np.ascontiguousarray(self.basis)})
        super().write(draft)

    @classmethod
    def read(cls, folder: Path, saved: SavedFused) -> Self:
        """Return what was saved in ``folder``."""
        count = len(saved.weights)
        return cls(
            **saved.shared(),
            parts=tuple(load_folder(folder / part_folder(number)) for number in range(count)),
            weights=saved.weights,
            basis=_read_basis(folder / BASIS) if saved.shortened else None,
        )

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        joined = sum(part.dim for part in self.parts)
        return joined if self.basis is None else self.basis.shape[1]

    @cached_property
    def recipe(self) -> Recipe:
        """The features that any part needs."""
        return Recipe.union(part.recipe for part in self.parts)

    @property
    def text_encoder(self) -> str:
        """Name of the encoder that texts must come from."""
        return self._texts.name

    @property
    def text_levels(self) -> tuple[str, ...]:
        """Its levels."""
        return self._texts.levels

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from; it gives what each part reads."""
        return self._texts

    @cached_property
    def _encoders(self) -> tuple[TextEncoder, ...]:
        return tuple(part.open_text_encoder() for part in self.parts)

    @cached_property
    def _texts(self) -> JoinedText:
        return JoinedText(self._encoders)

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return vectors at most 1 long, float32 (n, dim), from the recipe's columns, (n, d) each.

        Raises
        ------
        MismatchError
            If a column of the recipe is missing.
        """
        return self.fuse([part.embed_images(columns) for part in self.parts])

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return vectors at most 1 long, float32 (m, dim); each part reads a text as alone."""
        return self.fuse(self._part_texts(texts))

    def _part_texts(self, texts: TextFeatures) -> list[FloatArray]:
        return [
            part.embed_texts(self._texts.select(texts, encoder))
            for part, encoder in zip(self.parts, self._encoders, strict=True)
        ]

    def fuse(self, vectors: Sequence[FloatArray]) -> FloatArray:
        """Return the vectors, float32 (n, dim), that follow from those of the parts."""
        joined = join(vectors, self.weights)
        fused = unit(joined if self.basis is None else joined @ self.basis.astype(np.float32))
        return fused * joined_length(vectors, self.weights)

    def split(self) -> Split:
        """Return its parts' shares of its vectors."""

        def images(columns: Mapping[str, FloatArray]) -> FloatArray:
            vectors = [part.embed_images(columns) for part in self.parts]
            return placed(vectors, self.weights, self.basis)

        def texts(features: TextFeatures) -> FloatArray:
            return placed(self._part_texts(features), self.weights, self.basis)

        return Split(named([part.name for part in self.parts], self.weights), images, texts)


def _read_basis(path: Path) -> NDArray[Any]:
    arrays = read_arrays(path)
    if arrays.keys() != {"basis"}:
        raise ArtifactError(f"{path} holds no basis.")
    return arrays["basis"]


def part_folder(number: int) -> str:
    """Return where a part is kept inside the matcher's folder."""
    return f"part{number}"


class SavedScaled(SavedMatcher):
    """The manifest of a ``ScaledMatcher``."""

    neighbours: int
    least: Annotated[float, Field(ge=1e-9, le=1)]


@dataclass(frozen=True, repr=False)
class ScaledMatcher(WordMatcher, OfOne):
    """A ``Matcher``: <x, y> least / √(r(x) r(y)), of the unit vectors of another.

    r(x) is the mean inner product of a picture with the ``neighbours`` texts of the bank that
    are nearest to it, but at least ``least``; r(y) that of a text with the pictures of the bank.

    Attributes
    ----------
    part : Matcher
    images, texts : int8 (b, dim)
        The bank: its vectors of training pairs, as of ``in_bytes``; float16 in matchers of before.
    neighbours : int
        1 to b.
    least : float
        Above 0. What is this far from its nearest, or farther, has a vector of length 1.

    Raises
    ------
    ArtifactError
        If bank, neighbours or least do not suit each other or the part.
    """

    part: Matcher
    images: NDArray[np.int8] | NDArray[np.float16]
    texts: NDArray[np.int8] | NDArray[np.float16]
    neighbours: int
    least: float

    kind = "scaled matcher"
    schema = SavedScaled

    def __post_init__(self) -> None:
        banks = (self.images, self.texts)
        if any(bank.ndim != 2 or bank.shape[1] != self.part.dim for bank in banks):
            shapes = " and ".join(str(bank.shape) for bank in banks)
            raise ArtifactError(
                f"A bank for vectors of {self.part.dim} numbers cannot be {shapes}."
            )
        kind = self.images.dtype if self.images.dtype == np.int8 else np.float16
        if not all(bank.dtype == kind and np.isfinite(bank).all() for bank in banks):
            raise ArtifactError("The bank holds numbers that are not finite (NaN or infinite).")
        if not 1 <= self.neighbours <= min(map(len, banks)) or not 0 < self.least <= 1:
            raise ArtifactError(
                f"{self.neighbours} neighbours and least={self.least} do not suit a bank of "
                f"{len(self.images)} pictures and {len(self.texts)} texts."
            )

    def identity(self) -> list[Any]:
        """Return the part's fingerprint, the bank, neighbours and least."""
        banks = [sha256(bank.tobytes()).hexdigest() for bank in (self.images, self.texts)]
        return [self.kind, self.part.fingerprint(), banks, self.neighbours, self.least]

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {**super().stated(), "neighbours": self.neighbours, "least": self.least}

    def write(self, draft: Path) -> None:
        """Write the part, a folder of its own, the bank and the map of words."""
        self.part.save(draft / PART)
        write_arrays(draft / BANK, {"images": self.images, "texts": self.texts})
        super().write(draft)

    @classmethod
    def read(cls, folder: Path, saved: SavedScaled) -> Self:
        """Return what was saved in ``folder``."""
        bank = read_arrays(folder / BANK)
        if bank.keys() != {"images", "texts"}:
            raise ArtifactError(f"{folder / BANK} holds no bank of images and texts.")
        return cls(
            **saved.shared(),
            part=load_folder(folder / PART),
            images=bank["images"],
            texts=bank["texts"],
            neighbours=saved.neighbours,
            least=saved.least,
        )

    @property
    def inner(self) -> Matcher:
        """The part."""
        return self.part

    @property
    def unscaled(self) -> Any:
        """The part."""
        return self.part

    def lengthened(self, images: FloatArray, texts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the part's vectors of images and texts, each as long as it is here."""
        return images * self.image_lengths(images), texts * self.text_lengths(texts)

    def adaptable(self) -> ScaledMatcher:
        """Return itself where its part can be adapted; for what is raised see there."""
        self.part.adaptable()
        return self

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
        sample = self.bank[0][:: max(1, len(self.images) // BACKGROUND)]
        return sample * self.image_lengths(sample)

    @cached_property
    def bank(self) -> tuple[FloatArray, FloatArray]:
        """The bank's vectors of images and of texts, float32 (b, dim)."""
        numbers = (bank.astype(np.float32) for bank in (self.images, self.texts))
        images, texts = (unit(bank) if self.images.dtype == np.int8 else bank for bank in numbers)
        return images, texts

    def _lengths(self, vectors: FloatArray, bank: FloatArray) -> FloatArray:
        starts = range(0, len(vectors), ROWS)
        near = [nearness(vectors[s : s + ROWS], bank, self.neighbours) for s in starts]
        closeness = np.concatenate([np.empty(0, np.float32), *near])
        least = np.float32(self.least)
        return np.asarray(np.sqrt(least / np.maximum(closeness, least))[:, None], np.float32)

    def split(self) -> Split:
        """Return the shares of the part's kernels, each as long as it is here."""
        own = split(self.part)

        def images(columns: Mapping[str, FloatArray]) -> FloatArray:
            shares = own.images(columns)
            return shares * self.image_lengths(shares.sum(axis=1))[:, None]

        def texts(features: TextFeatures) -> FloatArray:
            shares = own.texts(features)
            return shares * self.text_lengths(shares.sum(axis=1))[:, None]

        return Split(own.kernels, images, texts)


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
