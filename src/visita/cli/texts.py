"""Texts given on the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

import visita

if TYPE_CHECKING:
    from visita.types import Matcher


def read_text(argument: str) -> str:
    """Return the argument, or what stdin holds where it is ``-``; a blank text is refused."""
    raw = _stdin() if argument == "-" else argument.encode("utf-8", "surrogateescape")
    text = raw.decode("utf-8", "replace").strip()
    if not text:
        raise typer.BadParameter("The text is empty: describe what the picture should show.")
    return text


def _stdin() -> bytes:
    from visita.data.encoding import LIMIT  # noqa: PLC0415

    raw = sys.stdin.buffer.read(LIMIT + 1)
    if len(raw) > LIMIT:
        raise visita.VisitaError(f"The text on stdin is larger than {LIMIT // 10**6} MB.")
    return raw


@contextmanager
def matcher_for(text: str | None, matcher: str, text_encoder: str | None) -> Iterator[Matcher]:
    """Give the matcher that a text is for, by the names of the command line.

    Once the body is done, stderr is told if the matcher hardly knows the language of the text.
    What tells languages is read in a thread meanwhile: that takes half a second.
    """
    from visita.search.language import (  # noqa: PLC0415
        LANGUAGES,
        foreign,
        identifier,
        plainly_english,
    )
    from visita.search.query import kind_of  # noqa: PLC0415

    with ThreadPoolExecutor(1) as beside:
        if text and kind_of(text) == "text" and not plainly_english(text):
            beside.submit(identifier)
        chosen = visita.load(matcher, text_encoder=text_encoder)
        yield chosen
    languages = chosen.open_text_encoder().languages or ()
    if text and (found := foreign(text, languages)):
        known = ", ".join(LANGUAGES.get(code, code) for code in languages)
        print(
            f"note: this text seems to be {found}, and {chosen.text_encoder} was trained on "
            f"{known}: expect poor matches. More languages:  --matcher clip:NAME --text-encoder "
            "sentence-transformers:NAME",
            file=sys.stderr,
        )
