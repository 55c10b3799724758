"""What all matchers share: what they answer, and how they are saved, loaded and told apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from visita.artifact import (
    MANIFEST,
    Manifest,
    Name,
    fingerprint_of,
    read_arrays,
    read_json,
    read_manifest,
    write_arrays,
    write_folder,
)
from visita.data.seen import Seen
from visita.encoders.library.hub import no_fetching
from visita.errors import ArtifactError, MismatchError
from visita.matchers.defaults import MatcherDefaults
from visita.matchers.pair_probability import HeightProbability, MatchProbability
from visita.matchers.probability import Calibrated, Calibration, KeywordCalibration
from visita.matchers.standing_out import SearchCalibration
from visita.matchers.words import WordMap
from visita.registry import Registry
from visita.types import FloatArray, Matcher, Recipe, TextEncoder, TextFeatures

KIND = "matcher"
KINDS = Registry(
    "kind of matcher",
    {
        KIND: "visita.matchers.embed:JointMatcher",
        "fused matcher": "visita.matchers.combine:FusedMatcher",
        "scaled matcher": "visita.matchers.combine:ScaledMatcher",
        "two-stage matcher": "visita.matchers.rerank:RerankedMatcher",
        "whole matcher": "visita.matchers.whole:WholeMatcher",
        "pretrained matcher": "visita.matchers.pretrained:OfCheckpoint",
    },
)
ANY_TEXTS = "any-texts.safetensors"
OTHERS = "others"
"""Folder of what reads other languages, in that of the matcher that it is for."""


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
    _check_pairs(matcher, folder)
    if (seen := Seen.read(folder)) is not None:
        matcher = cast(Matcher, replace(cast(Any, matcher), seen=seen))
    if not (folder / OTHERS / MANIFEST).is_file():
        return matcher
    from visita.matchers.others import TextSide  # noqa: PLC0415 - it is one of these

    others = TextSide.beside(folder / OTHERS, matcher)
    return cast(Matcher, replace(cast(Any, matcher), others=others))


def _check_pairs(matcher: Matcher, folder: Path) -> None:
    """Refuse a matcher that cannot do what it tells pairs by."""
    probability: Any = matcher.match_probability
    if probability is None:
        return
    if probability.stages != (1 if matcher.reranker is None else 2):
        raise ArtifactError(f"{folder} tells matches by other stages than it has.")
    if isinstance(probability, HeightProbability) and matcher.retriever.any_texts is None:
        raise ArtifactError(f"{folder} tells matches by texts that it does not have.")


def _read_any_texts(folder: Path, dim: int) -> NDArray[np.float16]:
    """Return the directions of texts that stand for any, (t, dim)."""
    arrays = read_arrays(folder / ANY_TEXTS)
    texts = arrays.get("texts", np.zeros(0))
    if len(arrays) != 1 or not len(texts) or texts.dtype != np.float16 or texts.shape[1:] != (dim,):
        raise ArtifactError(f"{folder / ANY_TEXTS} is no table of texts for {dim} numbers.")
    return texts


class Kept(ABC):
    """What has a folder of its own. A kind says what is in it; this writes, reads and tells apart.

    Attributes
    ----------
    kind : str
        What its manifest calls it.
    schema : type of Manifest
        What its manifest says.
    """

    kind: ClassVar[str]
    schema: ClassVar[type[Manifest]]

    @abstractmethod
    def identity(self) -> Any:
        """Return all that decides what it computes, as JSON values."""

    @abstractmethod
    def stated(self) -> dict[str, Any]:
        """Return what its manifest says of it, as JSON values."""

    def manifest(self) -> dict[str, Any]:
        """Return all that its manifest says."""
        return {**self.stated(), "fingerprint": self.fingerprint()}

    @abstractmethod
    def write(self, draft: Path) -> None:
        """Write what is beside the manifest."""

    @classmethod
    @abstractmethod
    def read(cls, folder: Path, saved: Any) -> Self:
        """Return what was saved in ``folder``, of which ``saved`` is the manifest."""

    def fingerprint(self) -> str:
        """Return a hash over everything that decides what it computes, encoders included."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint_of(self.identity())

    def save(self, folder: Path, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write it as an artifact folder, atomically.

        ``beside`` may write further files into the folder it is given.

        Raises
        ------
        ArtifactError
            If ``folder`` holds something else.
        """
        with write_folder(folder, self.kind, self.manifest()) as draft:
            self.write(draft)
            if beside:
                beside(draft)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what was saved.

        Raises
        ------
        ArtifactError
            If the folder is not whole, or of another kind.
        MismatchError
            If an encoder differs from the one that it was trained with.
        """
        return cls.read(folder, read_manifest(folder, cls.kind, cls.schema))


@dataclass(frozen=True, kw_only=True, repr=False)
class BaseMatcher(MatcherDefaults, Calibrated, Kept):
    """A ``Matcher`` but for its vectors and what a kind says of itself.

    Attributes
    ----------
    facts : mapping
        What ran: configuration, seeds, versions, data, numbers.
    others : TextSide or None
        What reads texts of other languages into the same space, where that was learnt.
    seen : Seen or None
        The pictures that it learnt from and was chosen on, where they are known.
    any_texts : float16 (t, dim) or None
        Directions of texts that stand for any, where pairs are told by them.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    others: Any = None
    seen: Seen | None = None
    any_texts: NDArray[np.float16] | None = None

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width of the vectors."""

    @property
    def words(self) -> Callable[[FloatArray], FloatArray] | None:
        """What finds the pictures of single words, where that was learnt."""
        return None

    def stated(self) -> dict[str, Any]:
        """Return what the manifest of every matcher says of it."""
        return self.calibrated()

    def manifest(self) -> dict[str, Any]:
        """Return all that the manifest says."""
        return {**super().manifest(), "facts": dict(self.facts)}

    def save(self, folder: Path, *, beside: Callable[[Path], None] | None = None) -> None:
        """Write it as an artifact folder, atomically; see ``Kept.save``."""

        def write(draft: Path) -> None:
            if self.others is not None:
                self.others.save(draft / OTHERS)
            if self.seen is not None:
                self.seen.save(draft)
            if self.any_texts is not None:
                write_arrays(draft / ANY_TEXTS, {"texts": self.any_texts})
            if beside:
                beside(draft)

        super().save(folder, beside=write)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what was saved; for what is raised see ``Kept.load``."""
        matcher = super().load(folder)
        if not (folder / ANY_TEXTS).is_file():
            return matcher
        return replace(matcher, any_texts=_read_any_texts(folder, matcher.dim))


@dataclass(frozen=True, kw_only=True, repr=False)
class WordMatcher(BaseMatcher):
    """A matcher that may have learnt what single words name.

    Attributes
    ----------
    words : WordMap or None
        What finds the pictures of single words, where that was learnt.
    """

    words: WordMap | None = None

    @property
    def background(self) -> FloatArray | None:
        """Vectors of pictures that stand for any, float32 (b, dim); None if there are none."""
        return None if self.words is None else self.words.background

    def write(self, draft: Path) -> None:
        """Write the map of words."""
        if self.words is not None:
            self.words.save(draft)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what was saved; for what is raised see ``Kept.load``."""
        matcher = super().load(folder)
        words = WordMap.read(folder, matcher.dim)
        return matcher if words is None else replace(matcher, words=words)


class OfOne(BaseMatcher):
    """A matcher around one other, which says whatever this does not say itself."""

    @property
    @abstractmethod
    def inner(self) -> Matcher:
        """The other matcher."""

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self.inner.dim

    @cached_property
    def recipe(self) -> Recipe:
        """The features that a picture needs."""
        return self.inner.recipe

    @property
    def text_encoder(self) -> str:
        """Name of the encoder that texts must come from."""
        return self.inner.text_encoder

    @property
    def text_levels(self) -> tuple[str, ...]:
        """Its levels."""
        return self.inner.text_levels

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from."""
        return self.inner.open_text_encoder()

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return vectors at most 1 long, float32 (n, dim), from the recipe's columns.

        Raises
        ------
        MismatchError
            If a column of the recipe is missing.
        """
        return self.inner.embed_images(columns)

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return vectors at most 1 long, float32 (m, dim)."""
        return self.inner.embed_texts(texts)


def needed(name: str, recipe: Recipe, columns: Mapping[str, FloatArray]) -> list[FloatArray]:
    """Return the columns of a recipe, in its order, for ``name``.

    Raises
    ------
    MismatchError
        If one is missing.
    """
    missing = [column for column in recipe.columns() if column not in columns]
    if missing:
        raise MismatchError(
            f"{name} needs the features {', '.join(missing)}: extract them with its recipe."
        )
    return [columns[column] for column in recipe.columns()]


def digests(arrays: Mapping[str, NDArray[Any]]) -> dict[str, list[Any]]:
    """Return type, shape and hash of each array, for an ``identity``."""
    return {
        name: [str(array.dtype), list(array.shape), sha256(array.tobytes()).hexdigest()]
        for name, array in sorted(arrays.items())
    }


class SavedMatcher(Manifest):
    """What the manifest of every kind of matcher says; the fields are those of ``Calibrated``."""

    name: Name
    threshold: float | None
    calibration: Calibration | None
    keyword_calibration: dict[str, float] | None = None
    """Of another formula, once."""
    shows: KeywordCalibration | None = None
    standing_out: SearchCalibration | None = None
    match_probability: HeightProbability | MatchProbability | None = None
    """There was none always, nor of the first kind."""
    fingerprint: Name
    facts: dict[str, Any]

    def shared(self) -> dict[str, Any]:
        """Return the fields that every matcher has."""
        names = ("name", "threshold", "calibration", "match_probability", "facts")
        renamed = {"keyword_calibration": self.shows, "search_calibration": self.standing_out}
        return {name: getattr(self, name) for name in names} | renamed


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
