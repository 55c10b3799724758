"""Encoders that many threads share: what waits meanwhile is encoded together.

A network reads sixteen texts in little more time than one, so that throughput grows with load,
and a text that comes alone does not wait for others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from PIL.Image import Image

from visita.encoders.engine import cores
from visita.search.finder import Finder
from visita.search.query import Query
from visita.stages import stage
from visita.store.pictures import RecipeEncoder
from visita.types import FloatArray, Matcher, Recipe, TextEncoder, TextFeatures

AT_ONCE = 64
"""Requests whose texts are encoded together."""
KEPT = 1000
"""Queries that are kept at most, as one that is paged through is asked for again and again."""
Asked = tuple[list[str], "Future[TextFeatures]"]


class BatchedTexts:
    """A text encoder whose ``encode`` is called by many threads and runs in one."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._waiting: SimpleQueue[Asked] = SimpleQueue()
        self._thread = ThreadPoolExecutor(1, "texts")

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return what the encoder does, whoever else asks at the same time."""
        future: Future[TextFeatures] = Future()
        self._waiting.put((list(texts), future))
        with stage("encode"):
            self._thread.submit(self._encode_waiting)
            return future.result()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # as a copy asks for before it has an encoder
            raise AttributeError(name)
        return getattr(self._encoder, name)

    def _encode_waiting(self) -> None:
        batch = list(self._taken())
        if not batch:
            return  # they were taken together with those before
        try:
            features = self._encoder.encode([text for texts, _ in batch for text in texts])
        except Exception:  # one of them is at fault, and must not spoil the others
            for texts, future in batch:
                _settle(self._encoder, texts, future)
            return
        start = 0
        for texts, future in batch:
            future.set_result(features.take(np.arange(start, start + len(texts))))
            start += len(texts)

    def _taken(self) -> Iterator[Asked]:
        for _ in range(AT_ONCE):
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


class SharedFinder(Finder):
    """A finder for many threads, whose encoders are loaded at once."""

    def __init__(self, matcher: Matcher | str | Path) -> None:
        super().__init__(matcher)
        self.pictures = PooledPictures(self.matcher.recipe)
        self._queries: dict[tuple[int, str], Query] = {}
        self.embed_texts(["a dog"])

    @cached_property
    def texts(self) -> TextEncoder:
        """The matcher's text encoder, which runs in one thread."""
        return BatchedTexts(self.matcher.open_text_encoder())

    def query(self, text: str) -> Query:
        """Return all that follows from a text; see ``Finder``."""
        key = id(self.matcher), text  # copies for other languages share what is kept
        known = self._queries.get(key)
        if known is None:
            known = super().query(text)
            if len(self._queries) >= KEPT:
                self._queries.clear()
            self._queries[key] = known
        return known
