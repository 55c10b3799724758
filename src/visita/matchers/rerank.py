"""Re-ranking: one vector a picture finds the first few, a closer score of each orders them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from visita.artifact import fingerprint_of
from visita.data import photographs
from visita.encoders.engine import Runner
from visita.encoders.export import TorchRunner
from visita.encoders.pretrained.text import PretrainedText
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS
from visita.errors import ConfigError
from visita.matchers.base import OfOne, SavedMatcher, load_folder, needed
from visita.matchers.cross_modal import CrossModalReranker
from visita.types import FloatArray, Matcher, Recipe

KIND = "two-stage matcher"
FIRST, SECOND = "first", "second"
DEPTH = 50
"""How many of the first stage's best are re-ranked, unless a matcher says otherwise."""


class SavedReranked(SavedMatcher):
    """The manifest of a ``RerankedMatcher``."""

    weight: Annotated[float, Field(ge=0, le=1)]
    depth: Annotated[int, Field(ge=1, le=100_000)] = DEPTH


@dataclass(frozen=True, repr=False)
class RerankedMatcher(OfOne):
    """A ``Matcher`` whose vectors are the first stage's, and which scores pairs more closely.

    Threshold and probabilities are those of both stages together.

    Attributes
    ----------
    first : Matcher
    reranker : CrossModalReranker
    weight : float
        beta of the re-ranker; the first stage has 1 - beta.
    depth : int
        How many of the first stage's best are re-ranked.
    """

    first: Matcher
    # What has none has None, which is no default here.
    reranker: CrossModalReranker = field()
    weight: float = field()
    depth: int = DEPTH

    kind = KIND
    schema = SavedReranked

    def identity(self) -> list[Any]:
        """Return the stages' fingerprints, weight and depth."""
        stages = self.first.fingerprint(), self.reranker.fingerprint()
        # The usual depth was not part of it always.
        depth = [] if self.depth == DEPTH else [self.depth]
        return [KIND, stages, self.weight, *depth]

    def stated(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        return {**super().stated(), "weight": self.weight, "depth": self.depth}

    def write(self, draft: Path) -> None:
        """Write both stages, each a folder of its own."""
        self.first.save(draft / FIRST)
        self.reranker.save(draft / SECOND)

    @classmethod
    def read(cls, folder: Path, saved: SavedReranked) -> Self:
        """Return what was saved in ``folder``."""
        return cls(
            **saved.shared(),
            first=load_folder(folder / FIRST),
            reranker=CrossModalReranker.load(folder / SECOND),
            weight=saved.weight,
            depth=saved.depth,
        )

    @property
    def inner(self) -> Matcher:
        """The first stage."""
        return self.first

    @property
    def retriever(self) -> Matcher:
        """The first stage."""
        return self.first

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
        return Recipe.union([self.first.recipe, self.reranker.recipe])

    def adaptable(self) -> Matcher:
        """Refuse: the re-ranker was trained for vectors as they are.

        Raises
        ------
        ConfigError
            Always.
        """
        raise ConfigError(
            f"{self.name!r} has two stages, and vectors alone are adapted: adapt its first "
            f"stage, which is a matcher of its own in its folder, as {FIRST}."
        )


PICTURES = 64
"""Pictures a call of the head; bounds its memory."""
EVERY = 3
"""Of so many crops one is enough to quantise a head by: each is read with several texts."""


@dataclass(frozen=True)
class PretrainedReranker:
    """A ``Reranker``: the logit of a match, by a text encoder that reads the picture along.

    The head attends to every token of the picture, so a packed picture is all of them: 577 x
    768 numbers, 0.9 MB, for a ViT-B at 384 pixels, where other re-rankers take 4 KB. Fewer
    would be another model with other numbers, and to see the first 50 pictures anew for each
    query would take seven times as long as to read them.

    Attributes
    ----------
    encoder : str
        Name of the checkpoint's encoders.
    """

    encoder: str
    scale: ClassVar[float] = 16.0
    """Logits are divided by it, so that scores are about between -1 and 1."""

    levels: ClassVar[tuple[str, str]] = ("tokens:cls", "tokens:grid")

    @property
    def recipe(self) -> Recipe:
        """The picture's tokens: the class token and those of the cells."""
        return Recipe({self.encoder: self.levels})

    def fingerprint(self) -> str:
        """Return a hash over everything that decides the scores."""
        return fingerprint_of(["pair head", self._texts.fingerprint()])

    @cached_property
    def packed_shape(self) -> tuple[int, int]:
        """Shape of a packed picture: (1 + cells, width of a token)."""
        cells, width = IMAGE_ENCODERS.load(self.encoder)().level_shapes()["tokens:grid"]
        return 1 + cells, width

    def pack_images(self, columns: Mapping[str, FloatArray]) -> NDArray[np.float16]:
        """Return packed pictures, float16 (n, *packed_shape), from the recipe's columns.

        Raises
        ------
        MismatchError
            If a column of the recipe is missing.
        """
        first, cells = needed("The re-ranker", self.recipe, columns)
        return np.concatenate([first[:, None].astype(np.float16), cells.astype(np.float16)], axis=1)

    def pack_texts(self, texts: Sequence[str]) -> list[FloatArray]:
        """Return the ids of each text, float32 (passages, most ids of one); -1 is no id."""
        return [_stacked(passages) for passages in self._texts.reading.passages(texts)]

    def scores(self, images: NDArray[np.float16], text: FloatArray) -> FloatArray:
        """Return the score of each packed picture with a packed text, float32 (n,).

        That of a text is the mean over its passages.
        """
        passages = [self._passage(images, row[row >= 0]) for row in text.astype(np.int64)]
        return np.asarray(np.mean(passages, axis=0), np.float32)

    def _passage(self, images: NDArray[np.float16], ids: NDArray[np.int64]) -> FloatArray:
        beside = np.array([self._texts.reading.beside_a_picture(ids.tolist())])
        logits = [
            self._runner(images[start : start + PICTURES].astype(np.float32), beside)[0][:, 0]
            for start in range(0, len(images), PICTURES)
        ]
        joined: FloatArray = np.concatenate([np.zeros(0, np.float32), *logits])
        return np.asarray(joined / self.scale, np.float32)

    @cached_property
    def _texts(self) -> PretrainedText:
        encoder: PretrainedText = TEXT_ENCODERS.load(self.encoder)()
        return encoder

    @cached_property
    def _runner(self) -> Runner:
        seen = self._photographs if photographs.are_here() else None
        return self._texts.head_runner(self.packed_shape, seen)

    def _photographs(self) -> list[FloatArray]:
        encoder = IMAGE_ENCODERS.load(self.encoder)()
        network = TorchRunner(encoder.network(self.levels))  # so few are not worth a graph
        tokens = []
        for names in (photographs.SEEN, photographs.HELD_OUT):
            pictures = [encoder.prepare(crop) for crop in photographs.crops(names)[::EVERY]]
            first, cells = network(np.stack(pictures))
            tokens.append(np.concatenate([first[:, None], cells], axis=1))
        return tokens


def _stacked(passages: Sequence[Sequence[int]]) -> FloatArray:
    stacked = np.full((len(passages), max(map(len, passages))), -1, np.float32)
    for row, ids in enumerate(passages):
        stacked[row, : len(ids)] = ids
    return stacked
