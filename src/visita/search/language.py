"""The language of a query, and what reads it.

py3langid (A. Barbaresi's langid.py, BSD licence) tells languages by their bytes. It chooses among
those named here, as the rarer a language, the rarer a query in it and the commoner the error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

from visita.errors import ConfigError, MissingExtraError
from visita.search.query import kind_of, misread
from visita.types import Matcher

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

    from visita.matchers.others import TextSide


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
UNDETERMINED = "und"
"""ISO 639-2's code of a language that is not known: that of a text in another script."""
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
EXTRA = "languages"
"""What installs the encoder of other languages."""
ENOUGH = 1000
"""Characters that are read of a text."""


def foreign(text: str, languages: Sequence[str]) -> str:
    """Return what a text is in if it is none of ``languages``, in words, or ``""``.

    ``languages`` are ISO 639-1 codes; where there is none that is known here, any will do. One
    to three words are judged by their script alone.
    """
    code = foreign_code(text, languages)
    return "in another script" if code == UNDETERMINED else code and f"in {LANGUAGES[code]}"


def foreign_code(text: str, languages: Sequence[str]) -> str:
    """Return the code of a text's language if it is none of ``languages``, or ``""``."""
    text = text[:ENOUGH]
    if not LANGUAGES.keys() & set(languages):
        return ""
    if set(languages) <= IN_LATIN_LETTERS.keys() and not is_latin(text):
        return UNDETERMINED
    if kind_of(text) == "keywords" or ("en" in languages and plainly_english(text)):
        return ""
    shares = _shares(text)
    likely = max(shares, key=lambda code: shares[code])
    share = sum(shares.get(code, 0.0) for code in languages)
    return likely if likely not in languages and share < CERTAIN else ""


@lru_cache
def _shares(text: str) -> dict[str, float]:
    """Return how probable each language is; of one text that is asked for several times."""
    return dict(identifier().rank(text))


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


def reader(text: str, matcher: Matcher, language: str | None) -> Matcher | None:
    """Return what reads a text instead of the matcher's own encoder; None where that does.

    ``language`` is its code, where that is known.

    Raises
    ------
    ConfigError
        If nothing reads that language.
    MissingExtraError
        If what reads it is not installed.
    """
    own = matcher.open_text_encoder().languages
    others = cast("TextSide | None", matcher.retriever.others)
    if language is None:
        if others is None or not is_installed(others):
            return None
        code = foreign_code(text, own or ())
        return others.reading(code) if code else None
    if own is None or language in own:
        return None
    spoken = () if others is None else others.open_text_encoder().languages or ()
    if others is None or language not in spoken:
        raise ConfigError(
            f"{matcher.name} reads no {_name(language)}: --language takes "
            f"the code of one of {', '.join((*own, *spoken))}."
        )
    if not is_installed(others):
        raise MissingExtraError(f"Reading {_name(language)}", EXTRA)
    return others.reading(language)


def is_installed(others: Matcher) -> bool:
    """Tell whether the package that carries a matcher's text encoder is installed."""
    package = getattr(others.open_text_encoder(), "package", None)
    return package is None or find_spec(package) is not None


def remarks(text: str, matcher: Matcher, language: str | None = None) -> list[str]:
    """Return what is to be said of a text for a matcher, nothing for most."""
    told = _language(text, matcher, language)
    return [remark for remark in (told, _negation(text)) if remark]


def _language(text: str, matcher: Matcher, language: str | None) -> str:
    own = matcher.open_text_encoder().languages or ()
    found = "" if language else foreign(text, own)
    others = reader(text, matcher, language)
    if others is not None:
        seems = f"this text seems to be {found}" if found else f"read as {_name(language)}"
        skipped = ", by its vector alone" if matcher.reranker else ""
        return f"{seems}: {others.text_encoder} reads it{skipped}"
    if not found:
        return ""
    more = "--matcher clip:NAME --text-encoder sentence-transformers:NAME"
    if matcher.retriever.others is not None:
        more = f"pip install 'visita[{EXTRA}]'"
    return (
        f"this text seems to be {found}, and {matcher.text_encoder} was trained on "
        f"{', '.join(map(_name, own))}: expect poor matches. More languages:  {more}"
    )


def _name(code: str | None) -> str:
    return LANGUAGES.get(str(code), str(code))


def _negation(text: str) -> str:
    word = misread(text)
    return word and (
        f"{word!r} is read as any other word. What is understood: 'beach -dog', 'a street without "
        "cars', 'no cat', 'not a dog'"
    )
