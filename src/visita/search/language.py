"""The language of a query, and whether a text encoder was trained on it.

py3langid (A. Barbaresi's langid.py, BSD licence) tells languages by their bytes. It chooses among
those named here, as the rarer a language, the rarer a query in it and the commoner the error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from visita.search.query import kind_of, misread
from visita.types import Matcher

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier


def _table(listed: str) -> dict[str, str]:
    return dict(entry.split() for entry in listed.split(", "))


IN_LATIN_LETTERS = _table(
    "ca Catalan, cs Czech, cy Welsh, da Danish, de German, en English, es Spanish, et Estonian, "
    "eu Basque, fi Finnish, fr French, ga Irish, gl Galician, hr Croatian, hu Hungarian, "
    "id Indonesian, is Icelandic, it Italian, lt Lithuanian, lv Latvian, ms Malay, mt Maltese, "
    "nl Dutch, no Norwegian, pl Polish, pt Portuguese, ro Romanian, sk Slovak, sl Slovenian, "
    "sq Albanian, sv Swedish, sw Swahili, tl Tagalog, tr Turkish, vi Vietnamese"
)
LANGUAGES = IN_LATIN_LETTERS | _table(
    "ar Arabic, bg Bulgarian, bn Bengali, el Greek, fa Persian, gu Gujarati, he Hebrew, hi Hindi, "
    "hy Armenian, ja Japanese, ka Georgian, kn Kannada, ko Korean, mk Macedonian, ml Malayalam, "
    "mr Marathi, ru Russian, sr Serbian, ta Tamil, te Telugu, th Thai, uk Ukrainian, ur Urdu, "
    "zh Chinese"
)
"""Names by ISO 639-1 code."""
CERTAIN = 0.05
"""A text whose languages are this improbable together is foreign. Chosen on Flickr8k's 30,000
training captions, of which it takes one for foreign; see ``docs/notebook.md``."""
FUNCTION_WORDS = frozenset(
    {
        *("the", "with", "and", "while", "through", "his", "their", "two", "three", "from", "into"),
        *("who", "which", "behind", "near", "around", "another", "other"),
    }
)
"""English ones; 75 % of Flickr8k's dev captions have one, which spares them 0.2 s."""
ENOUGH = 1000
"""Characters that are read of a text."""


def foreign(text: str, languages: Sequence[str]) -> str:
    """Return what a text is in if it is none of ``languages``, in words, or ``""``.

    ``languages`` are ISO 639-1 codes; where there is none that is known here, any will do. One
    to three words are judged by their script alone.
    """
    if not LANGUAGES.keys() & set(languages):
        return ""
    if set(languages) <= IN_LATIN_LETTERS.keys() and not is_latin(text):
        return "in another script"
    if kind_of(text) == "keywords" or ("en" in languages and plainly_english(text)):
        return ""
    shares = dict(identifier().rank(text[:ENOUGH]))
    likely = max(shares, key=lambda code: shares[code])
    share = sum(shares.get(code, 0.0) for code in languages)
    return f"in {LANGUAGES[likely]}" if likely not in languages and share < CERTAIN else ""


def plainly_english(text: str) -> bool:
    """Tell whether a text has a word that hardly any other language has: most captions do."""
    return not FUNCTION_WORDS.isdisjoint(re.findall("[a-z]+", text.lower()))


def is_latin(text: str) -> bool:
    """Tell whether two thirds of the letters or more are Latin."""
    letters = [letter for letter in text if letter.isalpha()]
    latin = sum("LATIN" in unicodedata.name(letter, "") for letter in letters)
    return 3 * (len(letters) - latin) <= len(letters)


@cache
def identifier() -> LanguageIdentifier:
    """Return what tells the languages apart; the first call reads its 68 MB of numbers."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415 - where needed

    model = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    model.set_languages(LANGUAGES)
    return model


def remarks(text: str, matcher: Matcher) -> list[str]:
    """Return what is to be said of a text for a matcher, nothing for most."""
    return [remark for remark in (_language(text, matcher), _negation(text)) if remark]


def _language(text: str, matcher: Matcher) -> str:
    languages = matcher.open_text_encoder().languages or ()
    language = foreign(text, languages)
    if not language:
        return ""
    names = ", ".join(LANGUAGES.get(code, code) for code in languages)
    return (
        f"this text seems to be {language}, and {matcher.text_encoder} was trained on {names}: "
        "expect poor matches. More languages:  --matcher clip:NAME --text-encoder "
        "sentence-transformers:NAME"
    )


def _negation(text: str) -> str:
    word = misread(text)
    return word and (
        f"{word!r} is read as any other word. What is understood: 'beach -dog', 'a street without "
        "cars', 'no cat', 'not a dog'"
    )
