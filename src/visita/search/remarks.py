"""What changes how the numbers for a text are to be read, each in one line."""

from __future__ import annotations

from visita.search.language import LANGUAGES, foreign
from visita.search.negation import misread
from visita.types import Matcher


def remarks(text: str, matcher: Matcher) -> list[str]:
    """Return what is to be said of a text for a matcher, nothing for most."""
    return [one for one in (_language(text, matcher), _negation(text)) if one]


def _language(text: str, matcher: Matcher) -> str:
    languages = matcher.open_text_encoder().languages or ()
    found = foreign(text, languages)
    if not found:
        return ""
    known = ", ".join(LANGUAGES.get(code, code) for code in languages)
    return (
        f"this text seems to be {found}, and {matcher.text_encoder} was trained on {known}: expect "
        "poor matches. More languages:  --matcher clip:NAME --text-encoder "
        "sentence-transformers:NAME"
    )


def _negation(text: str) -> str:
    word = misread(text)
    return word and (
        f"{word!r} is read as any other word. What is understood: 'beach -dog', 'a street without "
        "cars', 'no cat', 'not a dog'"
    )
