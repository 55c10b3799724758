"""A question and a choice turned into a statement, which a picture can be matched with.

English, by a few patterns over the question's words; the first that fits is taken.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL.Image import Image

from visita.arguments import expect, listed
from visita.errors import ConfigError, DataError
from visita.search.finder import Finder, finder_of
from visita.search.passages import passages
from visita.search.query import Query
from visita.types import FloatArray, Judge, Matcher

_BE = r"(?P<be>is|are|was|were)"
_SEEN = r"(?: (?:there|shown|seen|visible))?"
_PICTURE = r"(?:in|on|of) (?:the|this|that) (?:picture|photo|photograph|image)"
_PLACE = r"in|on|at|under|over|behind|above|below|near|beside|between|inside|outside|next to"
PATTERNS = (
    (rf"what colou?r {_BE} (?P<what>.+)", "{what} {be} {choice}"),
    (rf"how many (?P<what>.+?)(?: {_BE})?(?: there| {_PICTURE})+", "{choice} {what}"),
    (r"how many (?P<what>.+)", "{choice} {what}"),
    (rf"(?:what|who|which)(?: .+)? {_BE} (?:this|that|these|those|it|there)", "{choice}"),
    (rf"(?:what|who|which)(?: .+)? {_BE}{_SEEN}(?: {_PICTURE})?", "{choice}"),
    (rf"what {_BE} (?P<who>.+) doing(?P<rest>.*)", "{who} {be} {choice}{rest}"),
    (rf"where {_BE} (?P<what>.+)", "{what} {be} {choice}"),
    (r"who (?P<does>.+)", "{choice} {does}"),
    (rf"what {_BE} (?P<does>(?:\w+ing|{_PLACE})\b.*)", "{choice} {be} {does}"),
    (
        rf"(?:what|which)(?: .+?)? {_BE} (?P<who>.+?) (?P<does>\w+ing)(?P<rest>.*)",
        "{who} {be} {does} {choice}{rest}",
    ),
    (r"(?P<question>.+)", "{question} {choice}"),
)
"""A pattern for the whole question, in lower case and without its mark, and the statement; the
last one fits everything."""
YES_OR_NO = (
    rf"{_BE} there (?:any )?(?P<claim>.+?)(?: {_PICTURE})?",
    rf"{_BE} (?:it|this|that|these|those) (?P<claim>.+)",
    r"(?:is|are|was|were|does|do|did|has|have|can) (?P<claim>.+)",
)


def statement(question: str, choice: str) -> str:
    """Return what a choice says as an answer to a question, which is not blank.

    >>> statement("What colour is the dog?", "brown")
    'the dog is brown'
    """
    answer, asked = " ".join(choice.split()), _plain(question)
    matches = ((re.fullmatch(pattern, asked), form) for pattern, form in PATTERNS)
    match, form = next((match, form) for match, form in matches if match)
    return form.format(**match.groupdict(), choice=answer)


def claim(question: str) -> str | None:
    """Return what someone who says yes to a question claims; None if that is no answer to it.

    >>> claim("Is there a boat in the picture?")
    'a boat'
    """
    asked = _plain(question)
    matches = (re.fullmatch(pattern, asked) for pattern in YES_OR_NO)
    return next((match["claim"] for match in matches if match), None)


def _plain(question: str) -> str:
    return " ".join(question.lower().split()).rstrip("?!. ") or question


LARGE = 1000
"""Pictures of the gallery whose odds are compared; their ratio hardly depends on it."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One of the choices.

    Attributes
    ----------
    text : str
    statement : str
        The choice as a statement that answers the question.
    score : float
        Of the picture and the statement. For *yes* it is what the matcher's threshold is compared
        with, for *no* it is that threshold.
    share : float or None
        Probability that this choice is right, assuming exactly one is; they sum to 1. None if the
        matcher was never calibrated, and for yes and no: a statement that fits a picture as a
        caption does need not be true.

    Examples
    --------
    >>> visita.Choice("red", statement="the car is red", score=0.12, share=0.7)
    Choice(text='red', statement='the car is red', score=0.12, share=0.7)
    """

    text: str
    statement: str
    score: float
    share: float | None


def answer(
    matcher: Finder | Matcher | str | Path,
    picture: Image | str | Path,
    question: str,
    choices: Sequence[str],
) -> list[Choice]:
    """Return the choices, best first.

    Question and choice become a statement (``visita.search.answer``), and the picture is
    matched with each, by both stages if there are two. Of yes and no, *yes* is better where
    the picture and the statement are a match.

    Raises
    ------
    PictureError
        If the file cannot be decoded.
    DataError
        If the question is blank.
    ConfigError
        If there are not two different choices, or *yes* and *no* are to be told apart by a
        matcher without a threshold.

    Examples
    --------
    >>> choices = visita.answer(
    ...     "visita-small", "mypairs/00002.jpg", "what colour is it?", ["orange", "green"]
    ... )
    >>> sorted(choice.statement for choice in choices)
    ['it is green', 'it is orange']
    """
    expect(question, str, "A question is a str")
    choices = listed(choices, str, "Choices are a list of str")
    finder = finder_of(matcher).reading(question)
    if not question.strip():
        raise DataError("The question is empty: ask something, as in 'What colour is the dog?'.")
    texts = list(dict.fromkeys(" ".join(choice.split()) for choice in choices if choice.strip()))
    if len(texts) < 2:
        raise ConfigError("Give two different choices or more, as in 'red, green'.")
    claimed = claim(question) if {text.lower() for text in texts} == {"yes", "no"} else None
    if claimed is not None:
        rows = _yes_or_no(finder, picture, claimed, texts)
    else:
        seen = finder.see([picture])
        said = [statement(question, text) for text in texts]
        queries = (
            Query.from_texts(passages(sentence), finder.texts, finder.matcher) for sentence in said
        )
        scores = [float(seen.scores(query)[0]) for query in queries]
        parts = shares(finder.matcher, np.array(scores, np.float32))
        chances = [None] * len(texts) if parts is None else parts.tolist()
        rows = [Choice(*row) for row in zip(texts, said, scores, chances, strict=True)]
    return sorted(rows, key=lambda choice: -choice.score)


def _yes_or_no(
    finder: Finder, picture: Image | str | Path, claimed: str, texts: Sequence[str]
) -> list[Choice]:
    if finder.matcher.threshold is None:
        raise ConfigError(
            f"The matcher {finder.matcher.name!r} has no threshold to tell yes from no by: "
            "give the choices as statements, such as 'a dog, no dog'."
        )
    pair = finder.match(picture, claimed)
    yes, threshold = pair.told_by, float(pair.threshold or 0)
    return [
        Choice(text, claimed, yes, None)
        if text.lower() == "yes"
        else Choice(text, f"not: {claimed}", threshold, None)
        for text in texts
    ]


def shares(matcher: Judge, found: FloatArray) -> FloatArray | None:
    """Return how probable each choice is if just one is right, float32 (c,).

    The odds that the matcher's calibration gives each score (c,), scaled to sum 1; None
    without a calibration.
    """
    probable = matcher.probability(found, LARGE)
    if probable is None:
        return None
    odds = probable.astype(np.float64) / (1 - probable.astype(np.float64)).clip(1e-7)
    return np.asarray(odds / odds.sum(), np.float32)
