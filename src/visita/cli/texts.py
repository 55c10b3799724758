"""Texts given on the command line."""

from __future__ import annotations

import sys
import unicodedata

import typer


def read_text(argument: str) -> str:
    """Return the argument, or what stdin holds where it is ``-``; a blank text is refused."""
    raw = (
        sys.stdin.buffer.read() if argument == "-" else argument.encode("utf-8", "surrogateescape")
    )
    text = raw.decode("utf-8", "replace").strip()
    if not text:
        raise typer.BadParameter("The text is empty: describe what the picture should show.")
    note_if_foreign(text)
    return text


def note_if_foreign(text: str) -> None:
    """Say on stderr that a text is in a script that the text encoder hardly knows."""
    if foreign(text):
        print(
            "note: the text encoder was trained on English; this text is in another script, "
            "so expect poor matches",
            file=sys.stderr,
        )


def foreign(text: str) -> bool:
    """Tell whether more than a third of the letters are not Latin."""
    letters = [letter for letter in text if letter.isalpha()]
    latin = sum("LATIN" in unicodedata.name(letter, "") for letter in letters)
    return 3 * (len(letters) - latin) > len(letters)
