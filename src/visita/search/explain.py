"""Why a matcher gives a picture and a text its score."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from visita.brief import Brief, brief, counted
from visita.data.thumbnails import picture_uri, plain
from visita.errors import DataError
from visita.gallery.packing import as_kept
from visita.matchers.cross_modal import CrossModalReranker
from visita.matchers.evidence import Evidence, evidence
from visita.matchers.shares import added, split
from visita.search.finder import Finder, finder_of
from visita.search.pair import Pair
from visita.search.passages import passages
from visita.search.query import RERANKED_PASSAGES, Query, wish
from visita.types import FloatArray, Matcher

SIDE = 5
"""Cells along either side of a picture."""


@dataclass(frozen=True, repr=False)
class Word(Brief):
    """A word of the text.

    Attributes
    ----------
    text : str
    effect : float
        By how much the score falls when the word is left out.
    heat : float32 (5, 5)
        What each cell has to do with the word; see ``Explanation.words_by``. Where that is
        attention, as many cells as the second stage has.
    """

    text: str
    effect: float
    heat: FloatArray


@dataclass(frozen=True)
class Kernel:
    """One kernel: its weight, all of which sum to 1, and what it adds to the score."""

    name: str
    weight: float
    adds: float


@dataclass(frozen=True, repr=False)
class Explanation:
    """Where in a picture, in which words and by which kernels a score comes about.

    Attributes
    ----------
    text : str
    pair : Pair
        The score that is explained, and whether it is a match.
    heat : float32 (5, 5)
        By how much the score falls when a cell of the picture is made grey; rows from the top.
    words : tuple of Word
        In order.
    words_by : str
        ``attention``: a word's heat is what it and the cell add to the score together, by the
        attention of the matcher's second stage; ``hiding``: it is how much less the word adds
        to the score when the cell is made grey.
    kernels : tuple of Kernel
        What they add sums to the score.
    picture : Image
        A small copy of the picture.

    Examples
    --------
    >>> explanation = visita.explain("visita-small", "mypairs/00002.jpg", "square")
    >>> explanation.heat.shape, explanation.words_by
    ((5, 5), 'hiding')
    """

    text: str
    pair: Pair
    heat: FloatArray
    words: tuple[Word, ...]
    words_by: Literal["attention", "hiding"]
    kernels: tuple[Kernel, ...]
    picture: Image

    def _repr_html_(self) -> str:
        from visita.search.explained import sheet  # noqa: PLC0415 - it draws this

        return f'<img src="{picture_uri(sheet(self))}" alt="{plain(self.text)}">'

    def __repr__(self) -> str:
        """Return the text, the verdict and how many words and kernels there are, in one line."""
        counts = f"{counted(len(self.words), 'word')}, {counted(len(self.kernels), 'kernel')}"
        return f"<Explanation {brief(self.text)}: {self.pair}; {counts}>"

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "text": self.text,
            **self.pair.to_dict(),
            "heat": self.heat.tolist(),
            "words": [
                {"word": word.text, "effect": word.effect, "heat": word.heat.tolist()}
                for word in self.words
            ],
            "words_by": self.words_by,
            "kernels": [
                {"name": kernel.name, "weight": kernel.weight, "adds": kernel.adds}
                for kernel in self.kernels
            ],
        }


GREY = (127, 127, 127)
"""Nothing, to a network whose input is centred."""
SHOWN = (900, 900)
"""Pixels that the copy of the picture fits into."""
WORDS = 100
"""More would take minutes, and nobody would look at as many maps."""
_WORD = re.compile(r"\w(?:\S*\w)?")


def explain(
    matcher: Finder | Matcher | str | Path, picture: Image | str | Path, text: str
) -> Explanation:
    """Return where in a picture, in which words and by which kernels their score comes about.

    The picture's cells are made grey, and the text's words left out, one at a time; the score,
    by both stages if there are two, is computed again each time.

    Raises
    ------
    PictureError
        If the file cannot be decoded.
    DataError
        If there is no text, it is too long, it excludes something, or the matcher knows no word
        of it.

    Examples
    --------
    >>> explanation = visita.explain("visita-small", "mypairs/00002.jpg", "white square")
    >>> [word.text for word in explanation.words]
    ['white', 'square']
    >>> [kernel.name for kernel in explanation.kernels]
    ['fusion', 'class-names']
    """
    if unwanted := wish(text).unwanted:
        raise DataError(
            "An explanation is of what a picture shows: leave out what it is not to show, here "
            f"{', '.join(map(repr, unwanted))}, or explain that by itself."
        )
    finder = finder_of(matcher).reading(text)
    parts = passages(text)
    words = [word for part in parts for word, _ in words_of(part)]
    if len(words) > WORDS or len(parts) > RERANKED_PASSAGES:
        raise DataError(
            f"A text of {len(words)} words in {len(parts)} sentences is too long to explain: "
            f"give at most {WORDS} words in {RERANKED_PASSAGES} sentences."
        )
    whole = finder.pictures.open(picture)
    query = Query.from_texts(parts, finder.texts, finder.matcher)
    query.pooled()  # refuses words that the matcher does not know
    seen = finder.see(chain([whole], hidden_one_by_one(whole)))
    table = np.stack([seen.scores(query), *(seen.scores(less) for less in _less(finder, query))])
    heat = table[:, :1] - table[:, 1:]
    # A text of one word is that word.
    effects = table[0, 0] - table[1:, 0] if len(words) > 1 else table[:1, 0]
    maps = heat[0] - heat[1:] if len(words) > 1 else heat
    kernels, met = _taken_apart(finder, whole, query)
    if met is not None:
        maps = met
    return Explanation(
        text=text,
        pair=seen.pair(query),
        heat=_cells(heat[0]),
        words=tuple(
            Word(word, float(effect), _cells(heat))
            for word, effect, heat in zip(words, effects, maps, strict=True)
        ),
        words_by="hiding" if met is None else "attention",
        kernels=kernels,
        picture=_shown(whole),
    )


def _shown(picture: Image) -> Image:
    small = picture.copy()
    small.thumbnail(SHOWN)
    return small


def hide(picture: Image, cells: Iterable[int]) -> Image:
    """Return a copy of a picture with some of its 5 x 5 cells, row by row from 0, in grey."""
    hidden = picture.copy()
    for cell in cells:
        row, column = divmod(int(cell), SIDE)
        left, right = (round(edge * picture.width / SIDE) for edge in (column, column + 1))
        top, bottom = (round(edge * picture.height / SIDE) for edge in (row, row + 1))
        hidden.paste(GREY, (left, top, right, bottom))
    return hidden


def hidden_one_by_one(picture: Image) -> Iterator[Image]:
    """Yield copies of a picture, each with another cell in grey."""
    return (hide(picture, [cell]) for cell in range(SIDE**2))


def words_of(passage: str) -> list[tuple[str, int]]:
    """Return the words of a passage and where each starts; marks belong to the word before.

    A passage without any word is one.
    """
    words = [(match[0], match.start()) for match in _WORD.finditer(passage)] or [(passage, 0)]
    return [(words[0][0], 0), *words[1:]]


def _less(finder: Finder, query: Query) -> Iterator[Query]:
    """Yield a query without each of its words in turn."""
    for parts in _without_each(query.texts):
        yield Query.from_texts(parts, finder.texts, finder.matcher, kind=query.kind)


def _without_each(parts: Sequence[str]) -> Iterator[list[str]]:
    """Yield the passages without each of their words in turn, none for a text of one word."""
    for number, part in enumerate(parts):
        starts = [start for _, start in words_of(part)]
        for start, end in pairwise([*starts, len(part)]):
            rest = (part[:start] + part[end:]).strip()
            left = [*parts[:number], *([rest] if rest else []), *parts[number + 1 :]]
            if left:
                yield left


def _taken_apart(
    finder: Finder, picture: Image, query: Query
) -> tuple[tuple[Kernel, ...], NDArray[np.float64] | None]:
    """Return what each kernel adds, and what words and cells do, (words, cells), if known."""
    matcher = finder.matcher
    columns = as_kept(finder.pictures.encode_pictures([picture]))
    if not matcher.reranker or query.named:
        return _first_stage(matcher.retriever, columns, query, finder), None
    beta = matcher.weight
    kernels = [
        Kernel(f"vectors: {kernel.name}", (1 - beta) * kernel.weight, (1 - beta) * kernel.adds)
        for kernel in _first_stage(matcher.retriever, columns, query, finder)
    ]
    reranker = matcher.reranker
    [packed] = reranker.pack_images(columns)
    if not isinstance(reranker, CrossModalReranker) or "kernels" not in reranker.network:
        adds = float(query.rerank_scores(packed[None])[0])  # one whole
        return (*kernels, Kernel("image-text matching", beta, beta * adds)), None
    all_evidence = [
        evidence(reranker, packed, packed_text) for packed_text in reranker.pack_texts(query.texts)
    ]
    for name, weight in reranker.kernel_weights.items():
        adds = sum(
            w * text_evidence.kernels[name]
            for w, text_evidence in zip(query.weights, all_evidence, strict=True)
        )
        kernels.append(Kernel(name, beta * weight, beta * float(adds)))
    met = [
        beta * weight * _by_word(reranker, text, text_evidence)
        for text, weight, text_evidence in zip(
            query.texts, query.weights, all_evidence, strict=True
        )
    ]
    return tuple(kernels), np.concatenate(met)


def _first_stage(
    matcher: Matcher, columns: dict[str, FloatArray], query: Query, finder: Finder
) -> tuple[Kernel, ...]:
    kernels = split(matcher)
    parts = kernels.texts(finder.texts.encode(query.texts))
    text = np.einsum("p,pkd->kd", query.weights, parts)
    if query.named and matcher.words is not None:
        text = matcher.words(text)
    text *= np.linalg.norm(query.known()) / np.linalg.norm(text.sum(axis=0))
    [values] = added(kernels.images(columns), text[None])
    return tuple(
        Kernel(name, weight, float(value))
        for (name, weight), value in zip(kernels.kernels.items(), values, strict=True)
    )


def _by_word(
    reranker: CrossModalReranker, text: str, text_evidence: Evidence
) -> NDArray[np.float64]:
    """Return what each word of a passage and each cell add together, (words, cells)."""
    starts = [start for _, start in words_of(text)]
    pieces = reranker.open_text_encoder().spans(text)[:, 0]
    owner = np.searchsorted(starts, pieces, "right") - 1
    summed = np.zeros((len(starts), text_evidence.met.shape[1]))
    np.add.at(summed, owner, text_evidence.met)
    return summed


def _cells(values: NDArray[np.floating]) -> FloatArray:
    side = math.isqrt(len(values))
    return np.asarray(values, np.float32).reshape(side, side)
