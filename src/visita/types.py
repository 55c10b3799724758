"""The records and protocols that cross rooms; everything here is numpy, never torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from visita.brief import Brief

__all__ = [
    "GRIDS",
    "FloatArray",
    "ImageEncoder",
    "Judge",
    "Matcher",
    "PairJudge",
    "Recipe",
    "Reranker",
    "Skipped",
    "TextEncoder",
    "TextFeatures",
    "TokenEncoder",
    "Tokens",
    "TopicModel",
    "is_grid",
]

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Skipped:
    """An item that a run left out, and why. It goes on; ids of the others do not shift.

    ``passing``: nothing is known to be wrong with it, and the next run tries it again.
    """

    item: str
    reason: str
    passing: bool = False


GRIDS = ("grid", "5x5")
"""How levels are named that keep where in the picture a feature is, as in ``block15:5x5``."""


def is_grid(level: str) -> bool:
    """Tell a level of cells (cells, d) from a pooled one by its name."""
    return level.rpartition(":")[2] in GRIDS


@dataclass(frozen=True, slots=True, repr=False)
class Recipe(Brief):
    """Which features a picture is described by: levels of encoders, seen in one or two views.

    ``levels`` maps an encoder's name to names of its levels, such as
    ``{"efficientnet-lite2": ("block15:avg", "head:avg")}``. ``mirror`` adds the
    left-right mirrored view of pooled levels; that of a grid would be nearly its cells
    mirrored. Each combination is one *column*, named ``encoder/level`` and, for the
    mirrored view, ``encoder/level@mirror``.
    """

    levels: Mapping[str, tuple[str, ...]]
    mirror: bool = False

    def views(self) -> tuple[str, ...]:
        """Return the suffix of each view's columns."""
        return ("", "@mirror") if self.mirror else ("",)

    def columns(self) -> tuple[str, ...]:
        """Return all column names, grouped by encoder, then view, then level."""
        return tuple(
            f"{encoder}/{level}{view}"
            for encoder, levels in self.levels.items()
            for view in self.views()
            for level in levels
            if not (view and is_grid(level))
        )

    def by_encoder(self) -> list[Recipe]:
        """Return one recipe for each encoder."""
        return [Recipe({name: levels}, self.mirror) for name, levels in self.levels.items()]

    @classmethod
    def union(cls, recipes: Iterable[Recipe]) -> Recipe:
        """Return the recipe with all columns of several."""
        recipes = list(recipes)
        levels: dict[str, tuple[str, ...]] = {}
        # The one with most levels comes first: mostly it has all, and its features are known.
        for recipe in sorted(recipes, key=lambda recipe: -len(recipe.columns())):
            for encoder, names in recipe.levels.items():
                known = levels.get(encoder, ())
                levels[encoder] = (*known, *(name for name in names if name not in known))
        return cls(levels, any(recipe.mirror for recipe in recipes))


@dataclass(frozen=True, slots=True, repr=False)
class TextFeatures(Brief):
    """Features of m texts, each cut into one or more passages.

    Attributes
    ----------
    offsets : int64 (m + 1,)
        Text i owns the passages ``offsets[i]:offsets[i + 1]``, as in CSR.
    vectors : float32 (p, d)
        The encoder's levels side by side, one row a passage.
    """

    offsets: NDArray[np.int64]
    vectors: FloatArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def pooled(self) -> FloatArray:
        """Return one vector a text, float32 (m, d): the mean over its passages."""
        if len(self) == len(self.vectors):  # the common case: every text is one passage
            return self.vectors
        counts = np.diff(self.offsets)[:, None].astype(np.float32)
        sums = np.add.reduceat(self.vectors, self.offsets[:-1], axis=0)
        return np.asarray(sums / counts, dtype=np.float32)

    def take(self, rows: NDArray[np.int64]) -> TextFeatures:
        """Return the features of the texts ``rows``, in that order."""
        spans = [np.arange(self.offsets[r], self.offsets[r + 1]) for r in rows]
        offsets = np.concatenate([[0], np.cumsum([len(s) for s in spans])]).astype(np.int64)
        passages = np.concatenate(spans) if spans else np.zeros(0, np.int64)
        return TextFeatures(offsets, self.vectors[passages])


@dataclass(frozen=True, slots=True, repr=False)
class Tokens(Brief):
    """What m texts consist of, ragged: text i owns the tokens ``offsets[i]:offsets[i + 1]``.

    Attributes
    ----------
    offsets : int64 (m + 1,)
        Every text has a token or more.
    values : float16 (t, d) or int64 (t,)
        Vectors of a pretrained encoder, or numbers of a vocabulary's words.
    """

    offsets: NDArray[np.int64]
    values: NDArray[Any]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def padded(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the tokens of texts ``rows``, (m, longest, …), and where they are, bool.

        Vectors come as float32; where there is no token there are zeros.
        """
        starts, lengths = self.offsets[rows], np.diff(self.offsets)[rows]
        mask = np.arange(lengths.max())[None] < lengths[:, None]
        places = (starts[:, None] + np.arange(mask.shape[1]))[mask]
        kind = np.float32 if self.values.ndim > 1 else np.int64
        padded = np.zeros((*mask.shape, *self.values.shape[1:]), kind)
        padded[mask] = self.values[places]
        return padded, mask


class ImageEncoder(Protocol):
    """A frozen network with named levels. One short file per encoder implements this.

    The network itself is touched only to export it; see ``visita.encoders.engine``.
    """

    name: str

    @property
    def side(self) -> int:
        """Pixels a side of the square input."""
        ...

    @property
    def reduced(self) -> bool:
        """Whether a large picture may come reduced; see ``visita.data.decode.decode``.

        False where the vectors are promised to be those of another library, or ``side`` is
        above half of ``visita.data.decode.REDUCED``.
        """
        ...

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Map each level's name to its shape a picture: (d,) pooled, (cells, d) for a grid."""
        ...

    def fingerprint(self) -> str:
        """Return a hash over weights and preprocessing (levels are part of the recipe)."""
        ...

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture as the network's input, uint8 (side, side, 3)."""
        ...

    def network(self, levels: Sequence[str]) -> Any:
        """Return a torch module: uint8 (b, side, side, 3) → one tensor (b, …) a level."""
        ...


class TextEncoder(Protocol):
    """A frozen text network with named levels: texts of any length in, passages out."""

    name: str
    levels: tuple[str, ...]
    dim: int
    """Width of all levels together, which are equally wide."""

    @property
    def languages(self) -> tuple[str, ...] | None:
        """ISO 639-1 codes of the languages it was trained on; None: any, or nobody says."""
        ...

    def fingerprint(self) -> str:
        """Return a hash over weights, vocabulary and preprocessing."""
        ...

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return the levels of every passage; nothing is cut off, long texts get several."""
        ...


class TokenEncoder(TextEncoder, Protocol):
    """A text encoder that also gives the vector of every token."""

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return all tokens of each text, however long, their levels side by side."""
        ...

    def spans(self, text: str) -> NDArray[np.int64]:
        """Return where each token of a text is in it, int64 (t, 2): start and end."""
        ...


class TopicModel(TextEncoder, Protocol):
    """A text encoder that is fitted on texts of its own, and so travels inside a matcher.

    It has one level, ``topics``, as wide as there are topics, and one passage a text:
    a bag of words has no length limit. Rows are unit vectors; a text without any word
    that the model knows is the zero vector.
    """

    @classmethod
    def fit(cls, texts: Sequence[str], topics: int, seed: int) -> Self:
        """Learn ``topics`` topics; the same texts and seed give the same model."""
        ...

    def save(self, folder: Path) -> None:
        """Write the model as an artifact folder, atomically."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a saved model, which encodes bit for bit as the one that was saved."""
        ...


class Judge(Protocol):
    """Who knows how probable a score is."""

    @property
    def name(self) -> str: ...

    def probability(
        self,
        scores: FloatArray,
        gallery_size: int,
        *,
        keywords: FloatArray | None = None,
        crowd: Any = None,
    ) -> FloatArray | None:
        """Return P(match | score, gallery size) for each score, or None if never calibrated.

        ``keywords`` is the vector of one to three words: then P that a picture shows them.
        ``crowd`` is the ``Crowd`` that the results of a search stand among, where it is known.
        """
        ...


class PairJudge(Protocol):
    """Who knows how probable it is that a picture and a text, by themselves, are a match."""

    def of(self, features: NDArray[np.float64]) -> FloatArray:
        """Return P(match) of each row of ``match_features``, float32 (p,)."""
        ...


class Reranker(Protocol):
    """Scores pictures against texts more closely than the inner product of their vectors does.

    A picture or a text is packed once: one row a part, such as a cell or a word.
    """

    @property
    def packed_shape(self) -> tuple[int, int]:
        """Shape of a packed picture, (parts, numbers a part): at most 4 KB in float16.

        A pretrained head that attends to every cell needs more, and says how much.
        """

    def pack_images(self, columns: Mapping[str, FloatArray]) -> NDArray[np.float16]:
        """Return packed pictures, float16 (n, *packed_shape), from the recipe's columns."""

    def pack_texts(self, texts: Sequence[str]) -> list[FloatArray]:
        """Return each text packed, float32 (its parts, …)."""

    def scores(self, images: NDArray[np.float16], text: FloatArray) -> FloatArray:
        """Return the score of each packed picture with one packed text, float32 (n,)."""


class Matcher(Judge, Protocol):
    """What training returns and everything later uses."""

    @property
    def dim(self) -> int: ...

    @property
    def recipe(self) -> Recipe: ...

    @property
    def text_encoder(self) -> str: ...

    @property
    def text_levels(self) -> tuple[str, ...]: ...

    @property
    def threshold(self) -> float | None:
        """From which score a pair counts as a match, or from which P(match), if there is that."""

    @property
    def match_probability(self) -> PairJudge | None:
        """What knows P(match), where it was fitted."""

    @property
    def words(self) -> Callable[[FloatArray], FloatArray] | None:
        """What maps vectors of single words to those that find what they name, if anything."""

    @property
    def background(self) -> FloatArray | None:
        """Vectors of pictures that stand for any, float32 (b, dim); None if there are none."""

    @property
    def any_texts(self) -> NDArray[np.float16] | None:
        """Directions of texts that stand for any, (t, dim), where pairs are told by them."""

    @property
    def retriever(self) -> Matcher:
        """What makes the vectors: itself, or the first stage of one that re-ranks."""

    @property
    def reranker(self) -> Reranker | None:
        """What scores the first few again, if anything; recipe and probability are then of both."""

    @property
    def weight(self) -> float:
        """beta of the re-ranker, the vectors having 1 - beta; 0 where there is none."""

    @property
    def depth(self) -> int:
        """How many of the first are re-ranked; 0 where there is no re-ranker."""

    @property
    def others(self) -> Matcher | None:
        """What reads other languages into the same space, if anything: that of ``retriever``."""

    @property
    def seen(self) -> Any:
        """The pictures that it learnt from and was chosen on, a ``Seen``; None if not known."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What ran: configuration, seeds, versions, data, numbers."""

    def fingerprint(self) -> str:
        """Return a hash over everything that decides the vectors, encoders included."""

    def open_text_encoder(self) -> TextEncoder:
        """Return the encoder that texts must come from."""

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        """Return vectors, float32 (n, dim), from the recipe's columns (n, d) each.

        None is longer than 1; pictures that are alike point the same way.
        """

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        """Return vectors at most 1 long, float32 (m, dim); scores are inner products."""

    def combine(self, first: FloatArray, reranked: FloatArray) -> FloatArray:
        """Return the score of pairs from those of vectors and re-ranker; it falls with neither."""

    def adaptable(self) -> Matcher:
        """Return whose vectors are adapted to one's own pairs; ConfigError where none are."""

    def save(self, folder: Path) -> None:
        """Write the matcher as an artifact folder, atomically."""


def __dir__() -> list[str]:
    return sorted(__all__)
