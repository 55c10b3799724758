"""Image-text matching heads of pretrained models as a second stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of
from visita.encoders.engine import Runner
from visita.encoders.pretrained.text import PretrainedText
from visita.encoders.table import IMAGE_ENCODERS, TEXT_ENCODERS
from visita.errors import MismatchError
from visita.types import FloatArray, Recipe

PICTURES = 64
"""Pictures a call of the head; bounds its memory."""


@dataclass(frozen=True)
class PairScorer:
    """A ``SecondStage``: the logit of a match, by a text encoder that reads the picture along.

    The head attends to every token of the picture, so a packed picture is all of them: 577 x
    768 numbers, 0.9 MB, for a ViT-B at 384 pixels, where other second stages take 4 KB. Fewer
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
        missing = [name for name in self.recipe.columns() if name not in columns]
        if missing:
            raise MismatchError(f"The second stage needs the features {', '.join(missing)}.")
        first, cells = (columns[name] for name in self.recipe.columns())
        return np.concatenate([first[:, None].astype(np.float16), cells.astype(np.float16)], axis=1)

    def pack_texts(self, texts: Sequence[str]) -> list[FloatArray]:
        """Return the ids of each text, float32 (passages, most ids of one); -1 is no id."""
        return [_stacked(passages) for passages in self._texts.reading.passages(texts)]

    def scores(self, images: NDArray[np.float16], text: FloatArray) -> FloatArray:
        """Return the score of each packed picture with a packed text, float32 (n,).

        That of a text is the mean over its passages.
        """
        found = [self._passage(images, row[row >= 0]) for row in text.astype(np.int64)]
        return np.asarray(np.mean(found, axis=0), np.float32)

    def _passage(self, images: NDArray[np.float16], ids: NDArray[np.int64]) -> FloatArray:
        pair = self._texts.reading.pair
        ids = np.concatenate([[pair], ids[1:]])[None]
        logits = [
            self._runner(images[start : start + PICTURES].astype(np.float32), ids)[0][:, 0]
            for start in range(0, len(images), PICTURES)
        ]
        found: FloatArray = np.concatenate([np.zeros(0, np.float32), *logits])
        return np.asarray(found / self.scale, np.float32)

    @cached_property
    def _texts(self) -> PretrainedText:
        encoder: PretrainedText = TEXT_ENCODERS.load(self.encoder)()
        return encoder

    @cached_property
    def _runner(self) -> Runner:
        return self._texts.head_runner(self.packed_shape)


def _stacked(passages: Sequence[Sequence[int]]) -> FloatArray:
    stacked = np.full((len(passages), max(map(len, passages))), -1, np.float32)
    for row, ids in enumerate(passages):
        stacked[row, : len(ids)] = ids
    return stacked
