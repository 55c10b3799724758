"""Words in quotes, which are looked for exactly in what is written of pictures and in them.

``"invoice 2023"`` alone finds the pictures with these words and no others. In a sentence, as in
``a man at a "grand hotel"``, those with the words come first, and the others follow as ever.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from visita.search.matches import Match, Matches
from visita.search.query import Query
from visita.search.search import Searchable, Sort, search

if TYPE_CHECKING:
    from visita.gallery.filter import Filter

LONGEST = 300
"""Characters of a text; in a longer one quotes are speech."""
MOST = 5
_QUOTED = re.compile(
    r"(?<![^\s(])[\"\u201c](?=[^\"\u201c\u201d]*\w)([^\"\u201c\u201d]+)[\"\u201d](?![^\s,.;:!?)])"
)


class Quoted(NamedTuple):
    """What a text has in quotes, and whether it has nothing else."""

    phrases: tuple[str, ...]
    alone: bool

    @property
    def text(self) -> str:
        """The phrases as ``Filter.text`` takes them."""
        return " ".join(f'"{phrase}"' for phrase in self.phrases)


def in_quotes(text: str) -> Quoted | None:
    """Return what a text has in quotes that stand at words' borders; None if that is nothing.

    >>> in_quotes('"invoice 2023"')
    Quoted(phrases=('invoice 2023',), alone=True)
    """
    if len(text) > LONGEST:
        return None
    phrases = tuple(_QUOTED.findall(text))
    alone = not re.search(r"\w", _QUOTED.sub(" ", text))
    return Quoted(phrases, alone) if 0 < len(phrases) <= MOST else None


def search_exactly(
    query: Query,
    wanted: Quoted,
    galleries: Sequence[Searchable],
    k: int,
    *,
    threshold: float | None,
    where: Filter | None,
    sort: Sort,
    group: bool,
) -> Matches[Match]:
    """Return at most k matches, those with the words in quotes first.

    Of words in quotes alone the probability is 1: a picture has what is asked for. Others are left
    out then, and a threshold leaves out none.

    Raises
    ------
    ConfigError, DataError
        As ``search``.
    """
    holding = _with_text(where, wanted.text)
    if wanted.alone:
        least = -1 if sort == "date" else None
        found = search(query, galleries, k, threshold=least, where=holding, sort=sort, group=group)
        return Matches(replace(match, probability=1.0) for match in found)
    first, rest = (
        search(query, galleries, k, threshold=threshold, where=among, sort=sort, group=group)
        for among in (holding, where)
    )
    known = {path for match in first for path in (match.path, *match.alike)}
    return Matches([*first, *(match for match in rest if match.path not in known)][:k])


def _with_text(where: Filter | None, text: str) -> Filter:
    from visita.gallery.filter import Filter  # noqa: PLC0415  most searches need none

    if where is None:
        return Filter(text=text)
    return where.model_copy(update={"text": f"{where.text or ''} {text}"})
