"""Symbols that a vocabulary does not know are read by their names: 🐶 is "dog face"."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

_SILENT = {"\u200d", "\ufe0e", "\ufe0f", "\u20e3", *map(chr, range(0x1F3FB, 0x1F400))}
"""What joins, colours or frames others: joiners, variations, the keycap, tones of skin."""
_LETTER = "regional indicator symbol letter "


def in_words(text: str, known: Callable[[str], bool]) -> str:
    """Return a text with the Unicode name of each symbol that is not ``known``.

    >>> in_words("a 🐶 on a beach", lambda symbol: False)
    'a dog face on a beach'
    """
    if text.isascii() or not any(map(_is_symbol, text)):
        return text
    unknown = {letter for letter in text if _is_symbol(letter) and not known(letter)}
    said = "".join(_named(letter) if letter in unknown else letter for letter in text)
    return " ".join(said.split())


def _is_symbol(letter: str) -> bool:
    return letter in _SILENT or unicodedata.category(letter) == "So"


def _named(letter: str) -> str:
    name = "" if letter in _SILENT else unicodedata.name(letter, "").lower()
    return f" {name.removeprefix(_LETTER)} " if name else " "
