"""Small, real implementations of the encoder's and matcher's contracts.

An encoder that averages colours, a text encoder that counts letters, and a linear matcher:
deterministic, quick, and free of torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visita.data.decode import decode
from visita.encoders.contract import EncodedBatch
from visita.errors import PassingError, PictureError
from visita.matchers.base import MatcherDefaults
from visita.search.query import Kind, Query
from visita.types import FloatArray, Judge, Recipe, Skipped, TextFeatures


class ColourMeans:
    """Mean colours over grids of cells; one column for each grid, such as ``colours/8``."""

    def __init__(self, levels: tuple[str, ...] = ("8", "2"), version: int = 1, batch: int = 4):
        self.recipe = Recipe({"colours": levels})
        self.version = version
        self.batch = batch
        self.encoded: list[str] = []

    def facts(self) -> Mapping[str, Any]:
        return {"encoders": {"colours": self.version}}

    def columns(self) -> Mapping[str, int]:
        return {name: int(name.split("/")[1]) ** 2 * 3 for name in self.recipe.columns()}

    def encode(self, items: Iterable[tuple[str, Path]]) -> Iterator[EncodedBatch]:
        source = iter(items)
        while some := list(islice(source, self.batch)):
            keys, rows, skipped = [], [], []
            for key, path in some:
                self.encoded.append(key)
                try:
                    rows.append(self.features(path))
                    keys.append(key)
                except PictureError as error:
                    skipped.append(Skipped(key, str(error), isinstance(error, PassingError)))
            columns = {
                name: np.array([row[name] for row in rows], np.float32) for name in self.columns()
            }
            yield EncodedBatch(keys, columns if keys else {}, skipped)

    def features(self, path: Path) -> dict[str, FloatArray]:
        """Return one row of every column for one file."""
        picture = decode(path)
        rows = {}
        for name in self.columns():
            side = int(name.split("/")[1])
            cells = picture.resize((side, side), Image.Resampling.BOX)
            rows[name] = np.asarray(cells, np.float32).reshape(-1) / 255
        return rows


class LetterCounts:
    """How often each letter comes; every sentence is a passage."""

    name = "letters"
    dim = 26

    def fingerprint(self) -> str:
        return "letters-1"

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        passages = [text.rstrip(".").split(".") for text in texts]
        offsets = np.cumsum([0, *map(len, passages)]).astype(np.int64)
        rows = [self._count(passage) for some in passages for passage in some]
        return TextFeatures(offsets, np.array(rows, np.float32))

    def _count(self, passage: str) -> FloatArray:
        letters = [ord(c) - ord("a") for c in passage.lower() if "a" <= c <= "z"]
        return _unit(np.bincount(letters, minlength=self.dim)[: self.dim] + 1e-3)


class LinearMatcher(MatcherDefaults):
    """A random projection of either side."""

    name = "linear"
    text_encoder = "letters"
    threshold = None
    match_probability = None

    def __init__(self, recipe: Recipe, dim: int = 16, seed: int = 0, calibrated: bool = True):
        self.recipe = recipe
        self.dim = dim
        self.seed = seed
        self.calibrated = calibrated

    def fingerprint(self) -> str:
        return f"{self.seed:08x}"

    def open_text_encoder(self) -> LetterCounts:
        return LetterCounts()

    background = None
    words = None

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray:
        joined = np.concatenate([columns[name] for name in self.recipe.columns()], axis=1)
        return self._project(joined - 0.5)

    def embed_texts(self, texts: TextFeatures) -> FloatArray:
        return self._project(texts.pooled())

    def probability(
        self,
        scores: FloatArray,
        gallery_size: int,
        *,
        keywords: FloatArray | None = None,
        crowd: object = None,  # noqa: ARG002
    ) -> FloatArray | None:
        if not self.calibrated:
            return None
        rivals = gallery_size if keywords is None else 1
        return np.asarray(1 / (1 + rivals * np.exp(-5 * scores)), np.float32)

    def _project(self, features: FloatArray) -> FloatArray:
        rng = np.random.default_rng([self.seed, features.shape[1]])
        weights = rng.standard_normal((features.shape[1], self.dim))
        # One by one, lest a row's rounding depend on the rows beside it.
        return np.array([_unit(row @ weights) for row in features.astype(np.float64)])


def draw_noise(path: Path, seed: int) -> Path:
    """Write a small picture that differs for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def _unit(vector: np.ndarray) -> FloatArray:
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def of_vector(vector: FloatArray, judge: Judge, kind: Kind = "text") -> Query:
    """Return the query that a vector (d,) is, whose probabilities ``judge`` knows."""
    return Query(vector[None], np.ones(1, np.float32), kind=kind, judge=judge)
