"""Sums and differences of texts and pictures: "2*golden retriever + ./pool.jpg - fruit".

A text is one only where it can hardly be anything else: one sentence with a plus between spaces,
two terms with a weight, or a picture by its path. A minus alone is a dash: "Rome - the forum".
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from PIL.Image import Image

from visita.arguments import expect, number
from visita.data.prose import sentences
from visita.errors import ConfigError, DataError

LONGEST = 2000
"""Characters of a text that may be a sum."""
MOST_TERMS = 20
LIGHTEST, HEAVIEST = 0.01, 100
_SIGN = re.compile(r"(?:^|(?<=\s))([+\u2212-])(?=\s|$)")
_PART = re.compile(
    r"(?:(?P<weight>\d+(?:\.\d+)?|\.\d+)\s*\*\s*(?=[^\W\d]|[./~\\]))?(?P<what>.+)", re.S
)
_PATH = re.compile(r"(?:\.{1,2}|~|[A-Za-z]:)[/\\]|/\w")


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a sum that is searched for.

    Attributes
    ----------
    what : str, Path or Image
        A text, as it stands; or a picture, by its file or itself.
    weight : float
        How much it counts; below 0, that pictures are to be less like it.

    Raises
    ------
    ConfigError
        If the weight is not between 0.01 and 100, or their negatives.

    Examples
    --------
    >>> from pathlib import Path
    >>> terms = [visita.Term(Path("mypairs/00002.jpg")), visita.Term("star", weight=-0.5)]
    >>> [best] = visita.Gallery.open("mypairs").search(terms, k=1)
    >>> best.path.name, best.probability
    ('00002.jpg', None)
    """

    what: str | Path | Image
    weight: float = 1.0

    def __post_init__(self) -> None:
        expect(self.what, (str, Path, Image), "A term is of a str, a Path or a PIL image")
        number(self.weight, "A term's weight", -HEAVIEST, HEAVIEST)
        number(abs(self.weight), "A term's weight without its sign", LIGHTEST, HEAVIEST)

    def __str__(self) -> str:
        """Return the sign, the weight unless it is 1, and the text or where the picture is."""
        sign = "-" if self.weight < 0 else "+"
        times = f"{abs(self.weight):g} x " if abs(self.weight) != 1 else ""
        shown = repr(self.what) if isinstance(self.what, str) else getattr(self.what, "name", "it")
        return f"{sign} {times}{shown}"


def terms_of(text: str) -> list[Term]:
    """Return the terms of a sum for ``find``; none where a text is no sum.

    What begins with ``./``, ``../``, ``~/`` or ``/`` is a picture's file: whoever writes the text
    chooses what is read.

    Raises
    ------
    DataError
        If a sign stands by itself, or there are more than 20 terms.
    ConfigError
        If a weight is none that ``Term`` takes.

    Examples
    --------
    >>> [str(term) for term in visita.terms_of("2*golden retriever + ./pool.jpg - fruit")]
    ["+ 2 x 'golden retriever'", '+ pool.jpg', "- 'fruit'"]
    """
    if len(text) > LONGEST or len(sentences(text)) != 1:
        return []
    first, *rest = _SIGN.split(text.strip())
    signs, parts = ["+", *rest[::2]], [first, *rest[1::2]]
    if rest and not first:
        del signs[0], parts[0]
    split = [_PART.fullmatch(part.strip()) for part in parts]
    found = [(match["weight"], match["what"]) for match in split if match]
    pictures = any(_PATH.match(what) for _, what in found)
    weighed = any(weight for weight, _ in found)
    if not pictures and (len(parts) < 2 or not ("+" in signs[1:] or weighed)):
        return []
    if len(found) < len(parts):
        raise DataError(
            f"A sign with nothing beside it in {text[:100]!r}: write a sum as in 'dog + beach - "
            "sea', or leave out a space beside the sign for a text as it stands."
        )
    if len(parts) > MOST_TERMS:
        raise DataError(f"A sum of {len(parts)} terms: give at most {MOST_TERMS}.")
    return [_term(sign, *part) for sign, part in zip(signs, found, strict=True)]


def _term(sign: str, weight: str | None, what: str) -> Term:
    size = float(weight or 1)
    if not LIGHTEST <= size <= HEAVIEST:
        raise ConfigError(f"A weight is a number from {LIGHTEST} to {HEAVIEST}, not {size:g}.")
    picture = Path(os.path.expanduser(what)) if _PATH.match(what) else None  # noqa: PTH111 - no user, no error
    return Term(picture or what, size if sign == "+" else -size)


def read_as(terms: list[Term]) -> str:
    """Return in words how a sum was read."""
    return " ".join(map(str, terms)).removeprefix("+ ")
