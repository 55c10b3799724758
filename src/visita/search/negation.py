"""What a text does not want: "beach -dog", "a street without cars", "no cat", "not a dog".

English, and only where it is plain; what else says no is found by ``misread``, to be told. Neither
the encoders nor the captions they learnt from know negation: "no cat" is near to cats.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from visita.arguments import expect

_ARTICLE = r"(?:(?:any|an?|the)\s+)?"
_STOP = (
    r"(?=[,.;!?]|\s+(?:in|on|at|by|with|near|beside|behind|under|over|of|from|to|and|but|while|"
    r"that|who|which|is|are|visible|here)\b|\s[-\u2212]|\s*$)"
)
_THING = rf"{_ARTICLE}(?P<thing>[^\W_][\w'-]*(?:\s+(?!or\b)[^\W_][\w'-]*){{0,2}}?)"
_MORE = rf"(?P<more>(?:\s*,?\s+(?:or|nor)\s+{_ARTICLE}[^\W_][\w'-]*)*)"
_SAID = (
    r"(?:(?:but|with|and|that has|there\s+(?:is|are|was|were))\s+)*(?:without|no)\s+",
    r"(?:(?:but|and|it\s+is|this\s+is|that\s+is)\s+)*not\s+(?=an?\s)",
)
PLAIN = re.compile(rf"(?:^|(?<=\s)|(?<=,))(?:{'|'.join(_SAID)}){_THING}{_MORE}{_STOP}", re.I)
MINUS = re.compile(r"(?:^|(?<=\s))[-\u2212](?P<thing>[^\W\d_][\w'-]*)")
UNCLEAR = re.compile(
    r"\b(?:no|not|never|without|neither|nor|none|nobody|nothing|nowhere|except|cannot|\w+n['\u2019]t)\b",
    re.I,
)
NO_THING = re.compile(r"no(?:\s+(?:one|entry|parking|smoking|exit)\b|\.)", re.I)
"""What only looks like it: "no entry" is a sign."""


class Wish(NamedTuple):
    """What a picture is to show, which may be ``""``, and what it is not to."""

    wanted: str
    unwanted: tuple[str, ...]


def wish(text: str) -> Wish:
    """Return what a text wants and does not want.

    >>> wish("a beach without dogs -sea")
    Wish(wanted='a beach', unwanted=('dogs', 'sea'))

    Raises
    ------
    TypeError
        If the text is no str.
    """
    expect(text, str, "A text is a str")
    unwanted: list[str] = []

    def note(found: re.Match[str]) -> str:
        if NO_THING.match(found[0]):
            return found[0]
        more = re.split(rf"\s*,?\s+(?:or|nor)\s+{_ARTICLE}", found.groupdict().get("more") or "")
        unwanted.extend(filter(None, [found["thing"], *more]))
        return " "

    rest = MINUS.sub(note, PLAIN.sub(note, text))
    if not unwanted:
        return Wish(text, ())
    words = re.sub(r"\s+([,.;!?])", r"\1", " ".join(rest.split())).strip(" ,;.")
    return Wish(re.sub(r"\s+(?:and|but)$", "", words), tuple(unwanted))


def misread(text: str) -> str:
    """Return the first word that says no and is read as any other word, or ``""``."""
    wanted = wish(text).wanted
    found = UNCLEAR.search(wanted)
    return found[0] if found and not NO_THING.match(wanted[found.start() :]) else ""
