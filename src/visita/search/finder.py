"""A matcher with its encoders at hand: what turns texts and pictures into vectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from functools import cached_property
from itertools import islice
from pathlib import Path

import numpy as np
from PIL.Image import Image

from visita.arguments import expect, listed
from visita.errors import DataError
from visita.gallery.packing import as_kept
from visita.matchers import DEFAULT, opened
from visita.search.algebra import Term
from visita.search.language import reader
from visita.search.pair import Pair, Seen
from visita.search.passages import passages
from visita.search.query import Query
from visita.store.pictures import PICTURE, RecipeEncoder
from visita.types import FloatArray, Matcher, TextEncoder

AT_ONCE = 4
"""Pictures that are in memory together, as photographs are large."""


class Finder:
    """A matcher with its encoders: turns texts and pictures into vectors of one space.

    Parameters
    ----------
    matcher : Matcher, str or Path
        A matcher, the name of a shipped one or the folder of a saved one.
    language : str or None
        ISO 639-1 code of the language of all texts; unless given, each tells its own.

    Examples
    --------
    >>> finder = visita.Finder("visita-small")
    >>> finder.embed_texts(["a red circle", "a blue star"]).shape
    (2, 512)
    >>> pair = finder.match("mypairs/00002.jpg", "a white square on an orange background")
    >>> pair.probability > pair.threshold
    True
    """

    def __init__(
        self, matcher: Matcher | str | Path = DEFAULT, *, language: str | None = None
    ) -> None:
        self.matcher = opened(matcher)
        self.language = language
        self.pictures = RecipeEncoder(self.matcher.recipe)
        self._others: dict[int, Finder] = {}

    def __repr__(self) -> str:
        """Return the matcher that it is of."""
        return f"<Finder of {self.matcher!r}>"

    @cached_property
    def texts(self) -> TextEncoder:
        """The matcher's text encoder, loaded on first use."""
        return self.matcher.open_text_encoder()

    def reading(self, text: str) -> Finder:
        """Return the finder for a text by its language: this one, or that of other languages.

        Of both, vectors are in one space. The latter is taken where the matcher has it, the text
        is in none of the matcher's own languages, and what reads it is installed.

        Raises
        ------
        TypeError
            If the text is no str.
        ConfigError
            If the language was given, and nothing reads it.
        MissingExtraError
            If it was given, and what reads it is not installed.
        """
        expect(text, str, "A text is a str")
        other = reader(text, self.matcher, self.language)
        return self if other is None else self._with(other)

    def _with(self, matcher: Matcher) -> Finder:
        if id(matcher) not in self._others:
            other = copy(self)
            other.__dict__.pop("texts", None)
            other.matcher = matcher
            self._others[id(matcher)] = other
        return self._others[id(matcher)]

    def embed_texts(self, texts: Sequence[str]) -> FloatArray:
        """Return vectors at most 1 long, float32 (m, dim); see ``visita.unit_and_length``."""
        texts = listed(texts, str, "Texts are a list of str")
        return self.matcher.embed_texts(self.texts.encode(texts))

    def embed_pictures(self, pictures: Sequence[Image | str | Path]) -> FloatArray:
        """Return vectors at most 1 long, float32 (n, dim); see ``visita.unit_and_length``.

        Raises
        ------
        PictureError
            If a file cannot be decoded; the message names it.
        """
        pictures = listed(pictures, PICTURE, "Pictures are a list of PIL images and paths")
        return self.matcher.embed_images(as_kept(self.pictures.encode_pictures(pictures)))

    def match(self, picture: Image | str | Path, text: str) -> Pair:
        """Return the score of a picture and a text, and whether they match.

        The score is that of both stages, where the matcher has two; see ``Pair``. What the text
        excludes counts against a match, see ``visita.search.query``.

        Raises
        ------
        PictureError
            If the file cannot be decoded.
        DataError
            If the text is empty.
        ConfigError
            If the text excludes something and the matcher has no probability to judge that by.
        """
        finder = self.reading(text)
        return finder.see([picture]).pair(finder.query(text))

    def query(self, text: str) -> Query:
        """Return all that follows from a text that pictures are searched for.

        Raises
        ------
        DataError
            If it is empty.
        """
        return Query.of(text, self.matcher, self.texts)

    def sum_of(self, terms: Sequence[Term]) -> Query:
        """Return the query for a sum; that of a single text is the text's own.

        Raises
        ------
        PictureError
            If a file cannot be decoded.
        DataError
            If there is no term, or a text is empty.
        """
        match listed(terms, Term, "What is searched for is a str or a list of Term"):
            case []:
                raise DataError("The sum has no terms: give one or more.")
            case [Term(what=str() as text, weight=weight)] if weight > 0:
                return self.reading(text).query(text)
        vectors = np.stack([self._vector(term.what) for term in terms])
        return Query.sum_of(vectors, [term.weight for term in terms], self.matcher)

    def _vector(self, what: str | Path | Image) -> FloatArray:
        if not isinstance(what, str):
            [vector] = self.embed_pictures([self.pictures.open(what)])
            return np.asarray(vector)
        finder = self.reading(what)
        return Query.from_texts(passages(what), finder.texts, finder.matcher).pooled()

    def see(self, pictures: Iterable[Image | str | Path]) -> Seen:
        """Return what the matcher keeps of pictures, which may be made one by one.

        Raises
        ------
        PictureError
            If a file cannot be decoded; the message names it.
        """
        source, parts = iter(pictures), []
        while batch := list(islice(source, AT_ONCE)):
            parts.append(Seen.of(self.matcher, as_kept(self.pictures.encode_pictures(batch))))
        return Seen.joined(parts)


def finder_of(matcher: Finder | Matcher | str | Path) -> Finder:
    """Return a finder as it is, or that of a matcher."""
    return matcher if isinstance(matcher, Finder) else Finder(matcher)
