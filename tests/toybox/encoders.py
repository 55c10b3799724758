"""An image encoder without a network, and a text encoder that hashes words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from visita.arguments import check_levels
from visita.encoders.engine import Runner
from visita.types import FloatArray, TextFeatures

SIDE, WORDS = 8, 64


class ToyEyes:
    """Small pictures: the numbers of 8 x 8 pixels, or their mean."""

    name = "toy-eyes"
    side = SIDE
    reduced = True
    licence = "CC0-1.0"
    package = None

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        return {"pixels": (SIDE * SIDE * 3,), "mean": (3,)}

    def fingerprint(self) -> str:
        return "toy-eyes 1"

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        return np.asarray(picture.resize((SIDE, SIDE)), np.uint8)

    def runner(self, levels: Sequence[str]) -> Runner:
        check_levels(self.name, levels, self.level_shapes())

        def run(*inputs: NDArray[np.uint8]) -> tuple[FloatArray, ...]:
            pixels = np.asarray(inputs[0], np.float32) / 255
            made = {"pixels": pixels.reshape(len(pixels), -1), "mean": pixels.mean((1, 2))}
            return tuple(made[level] for level in levels)

        return run


class ToyWords:
    """How often each word comes, in 64 buckets; a passage has 100 words."""

    name = "toy-words"
    languages = None
    licence = "CC0-1.0"
    package = None

    def __init__(self, levels: Sequence[str] = ("bag",)) -> None:
        check_levels(self.name, levels, ("bag",))
        self.levels = tuple(levels)
        self.dim = WORDS

    def fingerprint(self) -> str:
        return "toy-words 1"

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        passages = [_passages(text.split()) for text in texts]
        offsets = np.cumsum([0, *map(len, passages)]).astype(np.int64)
        rows = [_bag(words) for text in passages for words in text]
        return TextFeatures(offsets, np.array(rows, np.float32).reshape(-1, WORDS))


def _passages(words: list[str]) -> list[list[str]]:
    return [words[start : start + 100] for start in range(0, max(1, len(words)), 100)]


def _bag(words: Sequence[str]) -> FloatArray:
    buckets = [crc32(word.encode("utf-8", "replace")) % WORDS for word in words]
    return np.bincount(buckets, minlength=WORDS).astype(np.float32)
