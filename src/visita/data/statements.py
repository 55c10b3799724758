"""A question and a choice turned into a statement, which a picture can be matched with.

English, by a few patterns over the question's words; the first that fits is taken.
"""

from __future__ import annotations

import re

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
    found = ((re.fullmatch(pattern, asked), form) for pattern, form in PATTERNS)
    match, form = next((match, form) for match, form in found if match)
    return form.format(**match.groupdict(), choice=answer)


def claim(question: str) -> str | None:
    """Return what someone who says yes to a question claims; None if that is no answer to it.

    >>> claim("Is there a boat in the picture?")
    'a boat'
    """
    asked = _plain(question)
    found = (re.fullmatch(pattern, asked) for pattern in YES_OR_NO)
    return next((match["claim"] for match in found if match), None)


def _plain(question: str) -> str:
    return " ".join(question.lower().split()).rstrip("?!. ") or question
