"""From a picture to texts: which of some captions or articles fit it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from visita.serve.library import Library
from visita.serve.models import Given, Shape, Text
from visita.serve.uploads import opened


class TextsRequest(Shape):
    """A picture, and the texts that are ordered by how well they fit it."""

    picture: Given
    texts: Annotated[tuple[Text, ...], Field(min_length=1, max_length=100)]


class FittingText(Shape):
    """A text, and how well it fits the picture; see ``visita.Finder.match``."""

    text: str
    score: float
    probability: float | None


class TextsAnswer(Shape):
    """All texts, best first."""

    texts: tuple[FittingText, ...]


def texts(library: Library, asked: TextsRequest, most_pixels: int) -> TextsAnswer:
    """Return texts, those first that fit a picture best.

    Raises
    ------
    DataError
        If a text is empty.
    """
    finder = library.finder
    seen = finder.see([opened(asked.picture, library, most_pixels)])
    pairs = {text: seen.pair(finder.reading(text).query(text)) for text in asked.texts}
    return TextsAnswer(
        texts=tuple(
            FittingText(text=text, score=pair.score, probability=pair.probability)
            for text, pair in sorted(pairs.items(), key=lambda each: -each[1].told_by)
        )
    )
