"""From a picture to texts: which of some captions or articles fit it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from visita.search.caption import Captioner
from visita.serve.library import Library
from visita.serve.models import Given, Shape, Text
from visita.serve.uploads import opened


class TextsRequest(Shape):
    """A picture, and the texts that are ordered by how well they fit it."""

    picture: Given
    texts: Annotated[tuple[Text, ...], Field(min_length=1, max_length=500)]
    k: Annotated[int, Field(ge=1, le=500)] = 20


class FittingText(Shape):
    """A text, and its score with the picture."""

    text: str
    score: float


class TextsAnswer(Shape):
    """Texts, best first; of those that say nearly the same only the best."""

    texts: tuple[FittingText, ...]


def texts(library: Library, asked: TextsRequest, most_pixels: int) -> TextsAnswer:
    """Return the texts that fit a picture best; see ``visita.Captioner``."""
    captioner = Captioner(asked.texts, matcher=library.finder)
    picture = opened(asked.picture, library, most_pixels)
    found = captioner.caption(picture, asked.k)
    return TextsAnswer(texts=tuple(FittingText(text=each.text, score=each.score) for each in found))
