"""Several matchers as one: the weighted sum of their similarities, still one vector a picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from visita.artifact import fingerprint_of, read_arrays, read_manifest, write_arrays, write_folder
from visita.encoders.joined_text import JoinedText
from visita.errors import ArtifactError
from visita.matchers.base import Calibrated, SavedMatcher, load_folder
from visita.matchers.words import WordMap
from visita.types import FloatArray, Matcher, Recipe, TextEncoder, TextFeatures
from visita.vectors import join, unit

KIND = "fused matcher"
BASIS = "basis.safetensors"


@dataclass(frozen=True, repr=False)
class FusedMatcher(Calibrated):
    """A ``Matcher``: Σ_k beta_k k_k(image, text) over the similarities of other matchers.

    Attributes
    ----------
    parts : tuple of Matcher
    weights : tuple of float
        beta of each part, above 0, with sum 1.
    basis : float16 (sum of the parts' dims, dim) or None
        Orthonormal columns that shorten the joined vector, where it is too long.
    words : WordMap or None
        What finds the pictures of single words, where that was learnt.
    facts : dict
        What ran: configuration, versions, data, numbers.

    Raises
    ------
    ArtifactError
        If weights or basis do not suit the parts.
    """

    parts: tuple[Matcher, ...]
    weights: tuple[float, ...]
    basis: NDArray[np.float16] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    words: WordMap | None = None

    def __post_init__(self) -> None:
        joined = sum(part.dim for part in self.parts)
        if len(self.parts) != len(self.weights) or not self.parts:
            raise ArtifactError("A fused matcher has one or more parts, and a weight for each.")
        if not min(self.weights) > 0 or not math.isclose(sum(self.weights), 1, rel_tol=1e-6):
            raise ArtifactError(f"Weights are above 0 and have sum 1, unlike {self.weights}.")
        shape = (joined, 1) if self.basis is None else self.basis.shape
        if len(shape) != 2 or shape[0] != joined or not shape[1]:
            raise ArtifactError(f"A basis for {joined} numbers cannot be {shape}.")

    def fingerprint(self) -> str:
        """Return a hash over everything that decides the vectors, encoders included."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        parts = [part.fingerprint() for part in self.parts]
        basis = None if self.basis is None else sha256(self.basis.tobytes()).hexdigest()
        return fingerprint_of([KIND, parts, self.weights, basis])

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        joined = sum(part.dim for part in self.parts)
        return joined if self.basis is None else self.basis.shape[1]

    @property
    def background(self) -> FloatArray | None:
        """Vectors of pictures that stand for any, float32 (b, dim), where words were learnt."""
        return None if self.words is None else self.words.background

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
        return self.fuse(
            [
                part.embed_texts(self._texts.select(texts, encoder))
                for part, encoder in zip(self.parts, self._encoders, strict=True)
            ]
        )

    def fuse(self, vectors: Sequence[FloatArray]) -> FloatArray:
        """Return the vectors, float32 (n, dim), that follow from those of the parts."""
        joined = join(vectors, self.weights)
        found = unit(joined if self.basis is None else joined @ self.basis.astype(np.float32))
        return found * joined_length(vectors, self.weights)

    def save(self, folder: Path, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write the matcher as an artifact folder, atomically, each part inside.

        ``beside`` may write further files into the folder it is given.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        saved = {
            **self.calibrated(),
            "weights": self.weights,
            "shortened": self.basis is not None,
            "fingerprint": self.fingerprint(),
            "facts": dict(self.facts),
        }
        with write_folder(folder, KIND, saved) as draft:
            for number, part in enumerate(self.parts):
                part.save(draft / part_folder(number))
            if self.basis is not None:
                write_arrays(draft / BASIS, {"basis": np.ascontiguousarray(self.basis)})
            if self.words is not None:
                self.words.save(draft)
            if beside:
                beside(draft)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved matcher and its parts.

        Raises
        ------
        ArtifactError
            If the folder is not a whole fused matcher.
        MismatchError
            If an encoder differs from the one that a part was trained with.
        """
        saved = read_manifest(folder, KIND, SavedFused)
        count = len(saved.weights)
        matcher = cls(
            **saved.calibrated(),
            parts=tuple(load_folder(folder / part_folder(number)) for number in range(count)),
            weights=saved.weights,
            basis=_read_basis(folder / BASIS) if saved.shortened else None,
            facts=saved.facts,
        )
        return replace(matcher, words=WordMap.read(folder, matcher.dim))


class SavedFused(SavedMatcher):
    """The manifest of a ``FusedMatcher``."""

    weights: Annotated[tuple[float, ...], Field(min_length=1, max_length=1000)]
    shortened: bool


def _read_basis(path: Path) -> NDArray[Any]:
    arrays = read_arrays(path)
    if arrays.keys() != {"basis"}:
        raise ArtifactError(f"{path} holds no basis.")
    return arrays["basis"]


def joined_length(vectors: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """Return how long joined vectors are, float32 (n, 1): 1 where those of the parts are.

    A part with a zero vector, as of unknown words, leaves it to the others.
    """
    squares = np.stack([np.square(one).sum(axis=1) for one in vectors], axis=1)
    known = (squares > 0) @ np.asarray(weights, np.float32)
    lengths = np.sqrt(squares @ np.asarray(weights, np.float32) / np.where(known > 0, known, 1))
    return np.asarray(lengths[:, None], np.float32)


def part_folder(number: int) -> str:
    """Return where a part is kept inside the matcher's folder."""
    return f"part{number}"
