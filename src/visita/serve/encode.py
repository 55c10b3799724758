"""Encoders that many threads share: what waits meanwhile is encoded together.

A network reads sixteen texts in little more time than one, so that throughput grows with load,
and a text that comes alone does not wait for others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from PIL.Image import Image

from visita.encoders.engine import cores
from visita.search.finder import Finder
from visita.stages import stage
from visita.store.pictures import RecipeEncoder
from visita.types import FloatArray, Matcher, Recipe, TextEncoder, TextFeatures

AT_ONCE = 64
"""Requests whose texts are encoded together."""
KEPT = 1000
"""Texts of the last that are kept, as one that is paged through is asked for again and again."""
Asked = tuple[list[str], "Future[TextFeatures]"]


class BatchedTexts:
    """A text encoder whose ``encode`` is called by many threads and runs in one."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._waiting: SimpleQueue[Asked] = SimpleQueue()
        self._kept = lru_cache(KEPT)(self._encoded)
        Thread(target=self._work, name="texts", daemon=True).start()

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return what the encoder does, whoever else asks at the same time."""
        return self._kept(tuple(texts))

    def _encoded(self, texts: tuple[str, ...]) -> TextFeatures:
        future: Future[TextFeatures] = Future()
        self._waiting.put((list(texts), future))
        with stage("encode"):
            return future.result()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def _work(self) -> None:
        while True:
            batch = [self._waiting.get(), *self._more()]
            try:
                features = self._encoder.encode([text for texts, _ in batch for text in texts])
            except Exception:  # one of them is at fault, and must not spoil the others
                for texts, future in batch:
                    _settle(self._encoder, texts, future)
                continue
            start = 0
            for texts, future in batch:
                rows = np.arange(start, start + len(texts))
                future.set_result(features.take(rows))
                start += len(texts)

    def _more(self) -> Iterable[Asked]:
        for _ in range(AT_ONCE - 1):
            try:
                yield self._waiting.get_nowait()
            except Empty:
                return


def _settle(encoder: TextEncoder, texts: list[str], future: Future[TextFeatures]) -> None:
    try:
        future.set_result(encoder.encode(texts))
    except Exception as error:
        future.set_exception(error)


class PooledPictures(RecipeEncoder):
    """Encodes pictures in as many threads as there are cores, however many ask."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self._pool = ThreadPoolExecutor(cores(), "pictures")

    def encode_pictures(self, pictures: Sequence[Image | str | Path]) -> dict[str, FloatArray]:
        """Return every column for pictures; see ``RecipeEncoder``."""
        with stage("encode"):
            return self._pool.submit(super().encode_pictures, pictures).result()


def serving_finder(matcher: Matcher | str | Path) -> Finder:
    """Return a finder for many threads, its encoders loaded."""
    finder = Finder(matcher)
    finder.pictures = PooledPictures(finder.matcher.recipe)
    finder.__dict__["texts"] = BatchedTexts(finder.texts)
    finder.embed_texts(["a dog"])
    return finder
