"""Texts given on the command line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import visita
from visita.data.files import LIMIT, decode_prose
from visita.errors import ConfigError
from visita.progress import note

if TYPE_CHECKING:
    from visita.types import Matcher


NAMED = 60
"""Characters of a text that a line on stderr names."""


def read_text(argument: str) -> str:
    """Return the argument, or what stdin holds where it is ``-``; a blank text is refused."""
    if argument == "-":
        text = decode_prose(read_stdin()).strip()
    else:
        text = argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace").strip()
    if not text:
        raise ConfigError("The text is empty: describe what the picture should show.")
    return text


def read_lines(file: Path) -> list[str]:
    """Return the queries of a file, or of stdin where it is ``-``: its lines that are not blank."""
    text = decode_prose(read_stdin() if str(file) == "-" else file)
    queries = [line.strip() for line in text.splitlines() if line.strip()]
    if not queries:
        raise ConfigError(f"{file} holds no queries: write one a line.")
    return queries


def read_stdin() -> bytes:
    """Return what stdin holds, as far as a text may be long."""
    if sys.stdin is None:
        raise ConfigError("There is nothing to read: standard input is closed.")
    return sys.stdin.buffer.read(LIMIT + 1)


def quoted(text: str) -> str:
    """Return what a line on stderr calls a text: its beginning, in quotes."""
    return repr(text if len(text) <= NAMED else f"{text[: NAMED - 1]}…")


@contextmanager
def matcher_for(texts: Sequence[str], matcher: str, text_encoder: str | None) -> Iterator[Matcher]:
    """Give the matcher that texts are for, by the names of the command line.

    Once the body is done, stderr is told how each text was read, where that is not plain. What
    tells languages is read in a thread meanwhile: that takes half a second.
    """
    from visita.search.language import identifier, plainly_english  # noqa: PLC0415
    from visita.search.query import kind_of  # noqa: PLC0415
    from visita.search.remarks import remarks  # noqa: PLC0415

    with ThreadPoolExecutor(1) as beside:
        if any(kind_of(text) == "text" and not plainly_english(text) for text in texts):
            beside.submit(identifier)
        chosen = visita.load(matcher, text_encoder=text_encoder)
        yield chosen
    for text in texts:
        for remark in remarks(text, chosen):
            note(remark if len(texts) == 1 else f"{quoted(text)}: {remark}")
