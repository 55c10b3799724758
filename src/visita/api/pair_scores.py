"""Scores of a few pictures with a text, by both stages where a matcher has two."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from PIL.Image import Image

from visita.api.finding import Finder
from visita.search.query import Kind, Query
from visita.search.rescoring import Rescoring
from visita.search.seen import Seen
from visita.types import FloatArray

AT_ONCE = 4
"""Pictures that are in memory together, as photographs are large."""


def see(finder: Finder, pictures: Iterable[Image | str | Path]) -> Seen:
    """Return what a matcher keeps of pictures, which may be made one by one."""
    source, found = iter(pictures), []
    while some := list(islice(source, AT_ONCE)):
        found.append(Seen.of(finder.matcher, finder.pictures.encode_pictures(some)))
    packed = [one.packed for one in found if one.packed is not None]
    vectors = np.concatenate([one.vectors for one in found])
    return Seen(vectors, np.concatenate(packed) if packed else None)


def scores(finder: Finder, seen: Seen, passages: Sequence[str], kind: Kind = "text") -> FloatArray:
    """Return the score of each picture with a text given by its passages, float32 (n,).

    Scores of texts of several lengths are of one kind, unless told otherwise.

    A text of which the matcher knows no word has the score 0 in the first stage.

    Raises
    ------
    DataError
        If there is no passage, or one is blank.
    """
    query = Query.from_texts(passages, finder.texts, finder.matcher, kind=kind)
    first = seen.vectors @ query.known()
    closer = Rescoring.of(query, finder.matcher)
    if closer is None or seen.packed is None:
        return np.asarray(first, np.float32)
    return closer.scores(first, seen.packed)
