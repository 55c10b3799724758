"""Which pictures have some of a text's words in what is written of them or was read in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from visita.gallery.table import FULL_TEXT, path_of

MOST = 1000
"""Pictures; a word that more of them have, as a folder's name, tells little of each."""
Fields = Mapping[str, str]
"""What is written, by column of the table."""


def mentions(connection: sqlite3.Connection, words: Iterable[str]) -> dict[str, Fields]:
    """Return what is written of pictures with any of some words, by path in the gallery.

    Words are made of letters and digits.
    """
    terms = [f'"{word}" OR "{word}s"' for word in sorted(words)]
    telling = [term for term in terms if 0 < _count(connection, term) <= MOST]
    rows = connection.execute(
        f"SELECT path, raw, {', '.join(FULL_TEXT)} FROM pictures WHERE id IN "
        "(SELECT rowid FROM full_text WHERE full_text MATCH ?)",
        (" OR ".join(telling) or '""',),
    )
    return {
        path_of(path, raw): {
            name: value for name, value in zip(FULL_TEXT, values, strict=True) if value
        }
        for path, raw, *values in rows
    }


def _count(connection: sqlite3.Connection, term: str) -> int:
    found = "SELECT 1 FROM full_text WHERE full_text MATCH ? LIMIT ?"
    (count,) = connection.execute(f"SELECT count(*) FROM ({found})", (term, MOST + 1)).fetchone()
    return int(count)
