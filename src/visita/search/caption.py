"""Captions for a picture: the texts of a collection that fit it best."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from visita.arguments import listed, whole
from visita.baselines.writer import Writer
from visita.brief import counted
from visita.data import open_pairs
from visita.encoders.topics.corpus import read_corpus
from visita.errors import ConfigError, DataError
from visita.matchers import DEFAULT
from visita.matchers.cross_modal import CrossModalReranker
from visita.search.finder import Finder, finder_of
from visita.search.language import ENOUGH
from visita.search.pair import Seen
from visita.store.extract import text_features
from visita.types import FloatArray, Matcher, Reranker
from visita.vectors import unit

ALIKE = 0.92
"""Cosine of their vectors from which two texts say the same, and one is enough."""
TAKEN = "Texts are a list of str, a .txt file, or pairs"


@dataclass(frozen=True, slots=True)
class Caption:
    """A text and the score it has with a picture, a text's local scaling left out.

    Examples
    --------
    >>> visita.Caption("a dog on a beach", score=0.31)
    Caption(text='a dog on a beach', score=0.31)
    """

    text: str
    score: float


class Captioner:
    """Texts to choose captions from, read once; ``caption`` takes a picture.

    Its ``len`` is the number of texts.

    Parameters
    ----------
    texts : sequence of str, str or Path
        The texts; a ``.txt`` file with one a line; or pairs, as ``open_pairs`` reads them,
        whose texts are taken.
    matcher : Finder, Matcher, str or Path
        A matcher, the name of a shipped one or the folder of a saved one.

    Raises
    ------
    DataError
        If there is no text, or it cannot be read.

    Examples
    --------
    >>> captioner = visita.Captioner(["a white square on orange", "a dog on a beach"])
    >>> [caption.text for caption in captioner.caption("mypairs/00002.jpg", k=1)]
    ['a white square on orange']
    """

    def __init__(
        self,
        texts: Sequence[str] | str | Path,
        *,
        matcher: Finder | Matcher | str | Path = DEFAULT,
    ) -> None:
        candidates = _read(texts) if isinstance(texts, str | Path) else listed(texts, str, TAKEN)
        self.texts = tuple(dict.fromkeys(text.strip() for text in candidates if text.strip()))
        if not self.texts:
            raise DataError("There is no text to choose a caption from: give one or more.")
        self.finder = finder_of(matcher).reading(" ".join(self.texts)[:ENOUGH])
        features = text_features(self.texts, self.finder.texts)
        # Without local scaling, which prefers what fits few pictures to what describes this one.
        self.vectors: FloatArray = unit(self.finder.matcher.embed_texts(features))

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)

    def __repr__(self) -> str:
        """Return how many texts it chooses from, and the matcher."""
        return f"<Captioner: {counted(len(self), 'text')}, {self.finder.matcher!r}>"

    def caption(self, picture: Image | str | Path, k: int = 5) -> list[Caption]:
        """Return the k texts that fit a picture best, by both stages if there are two.

        Of texts that say nearly the same only the best is returned.

        Raises
        ------
        PictureError
            If the file cannot be decoded.
        ConfigError
            If k is below 1.
        """
        [captions] = self.captions(self.finder.see([picture]), k)
        return captions

    def captions(self, seen: Seen, k: int = 5) -> list[list[Caption]]:
        """Return the captions of several embedded pictures, each as ``caption`` does."""
        whole(k, "k", 1)
        scores = seen.vectors @ self.vectors.T
        orders = np.argsort(-scores, axis=1, kind="stable")
        if self.finder.matcher.reranker is not None and seen.packed is not None:
            orders = orders[:, : max(self.finder.matcher.depth, k)]
            scores = self._both(self.finder.matcher.reranker, seen.packed, scores, orders)
            again = np.argsort(-np.take_along_axis(scores, orders, 1), axis=1, kind="stable")
            orders = np.take_along_axis(orders, again, 1)
        return [
            [Caption(self.texts[text], float(row[text])) for text in self._distinct(order, k)]
            for row, order in zip(scores, orders, strict=True)
        ]

    def _both(
        self,
        reranker: Reranker,
        packed: NDArray[np.float16],
        scores: FloatArray,
        reranked: NDArray[np.int64],
    ) -> FloatArray:
        """Return the scores (n, m) of both stages for the texts that each picture looks at."""
        combined = scores.copy()
        wanted = np.unique(reranked)
        texts = reranker.pack_texts([self.texts[text] for text in wanted])
        for text, packed_text in zip(wanted, texts, strict=True):
            rows = np.flatnonzero((reranked == text).any(axis=1))
            second = reranker.scores(packed[rows], packed_text)
            combined[rows, text] = self.finder.matcher.combine(scores[rows, text], second)
        return combined

    def _distinct(self, order: NDArray[np.int64], k: int) -> list[int]:
        """Return the first k texts of an order, without those that say what one before does."""
        kept: list[int] = []
        for text in order:
            if not (self.vectors[kept] @ self.vectors[text] >= ALIKE).any():
                kept.append(int(text))
                if len(kept) == k:
                    break
        return kept


def _read(texts: str | Path) -> Sequence[str]:
    if Path(texts).suffix.lower() == ".txt":
        return read_corpus(Path(texts))
    return open_pairs(str(texts)).texts


class CaptionWriter:
    """Writes captions; a matcher whose second stage is a captioner is what can.

    Raises
    ------
    ConfigError
        If the matcher has none.
    """

    def __init__(self, matcher: Finder | Matcher | str | Path) -> None:
        self.finder = finder_of(matcher)
        reranker = self.finder.matcher.reranker
        if not isinstance(reranker, CrossModalReranker):
            raise ConfigError(
                f"{self.finder.matcher.name!r} cannot write captions: train one that does with  "
                "visita train baseline nic, or choose captions from texts."
            )
        self._reranker, self._writer = reranker, Writer(reranker)

    def caption(self, picture: Image | str | Path, k: int = 1) -> list[Caption]:
        """Return at most k captions; scores are the mean log probability of a word.

        Raises
        ------
        PictureError
            If the file cannot be decoded.
        """
        columns = self.finder.pictures.encode_pictures([picture])
        [packed] = self._reranker.pack_images(columns)
        return [Caption(text, score) for text, score in self._writer.write(packed, k)]
