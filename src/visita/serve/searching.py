"""Searching: what is asked over HTTP, as one call of the library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from visita.errors import DataError
from visita.gallery.filter import Filter
from visita.gallery.snapshot import Snapshot
from visita.search.algebra import Term, terms_of
from visita.search.galleries import find
from visita.search.language import remarks
from visita.search.matches import Match
from visita.search.query import Kind, kind_of
from visita.search.search import SURE
from visita.serve import models
from visita.serve.fits import Fit, fits
from visita.serve.library import Library
from visita.serve.pages import end_of, start_of
from visita.serve.shelf import Shelf
from visita.serve.uploads import opened
from visita.types import FloatArray

DEEPEST = 10_000
"""Results that can be paged through."""


class AskedByQuery(models.Among):
    """A search by a text in the address; ``gallery`` and ``tag`` may be given several times."""

    text: models.Text
    gallery: Annotated[tuple[models.GalleryId, ...], Field(max_length=100)] = ()
    k: models.Count = 50
    cursor: models.Cursor | None = None
    sort: models.Sort = "relevance"
    threshold: Annotated[float | None, Field(ge=-1, le=1)] = None
    group: bool = False

    def request(self) -> models.SearchRequest:
        """Return the same search as a request with a body."""
        given = self.model_dump()
        among = {name: given.pop(name) for name in models.Among.model_fields}
        return models.SearchRequest(
            among=models.Among(**among), galleries=given.pop("gallery"), **given
        )


def answer(library: Library, asked: models.SearchRequest, most_pixels: int) -> models.SearchAnswer:
    """Return the pictures for a text, for pictures, or for both.

    Raises
    ------
    DataError, ConfigError
        If nothing is asked for, or the library refuses what is.
    """
    if asked.text is None and not (asked.like or asked.unlike):
        raise DataError("Nothing is searched for: give a text, or pictures to be like.")
    start = start_of(asked)
    where = filter_of(asked.among)
    shelves = holding(library.shelves(asked.galleries), asked.among.under)
    searched = [passing(shelf, where) for shelf in shelves]
    end = start + asked.k
    wanted = terms(library, asked, most_pixels)
    page = find(
        [shelf.gallery for shelf in shelves],
        wanted,
        end,
        threshold=asked.threshold,
        where=where,
        sort=asked.sort,
        group=asked.group,
    )[start:]
    first = wanted[0].what
    kind: Kind = "picture"
    fitting: list[Fit] = [None] * len(page)
    if len(wanted) == 1 and isinstance(first, str):
        kind = kind_of(first)
        fitting = fits(library.finder, first, [vector(match, shelves) for match in page])
    return models.SearchAnswer(
        kind=kind,
        gallery_size=sum(map(len, searched)),
        sure=SURE,
        remarks=tuple(remarks(asked.text, library.finder.matcher)) if asked.text else (),
        matches=tuple(
            models.Found(**fields, fit=fit)
            for fields, fit in zip(told(page, shelves), fitting, strict=True)
        ),
        next=end_of(end, asked) if len(page) == asked.k and end < DEEPEST else None,
    )


def terms(library: Library, asked: models.SearchRequest, most_pixels: int) -> Sequence[Term]:
    """Return what is searched for; raises as ``opened`` and ``terms_of``.

    Raises
    ------
    DataError
        If a text names a file: whoever asks chooses no file to be read.
    """
    text = asked.text or ""
    parts = terms_of(text) or [Term(text)]
    if any(isinstance(part.what, Path) for part in parts):
        raise DataError("The text names a file, and none is read: send the picture instead.")
    signs = ((asked.like, 1.0), (asked.unlike, -1.0))
    pictures = [
        Term(opened(given, library, most_pixels), weight)
        for some, weight in signs
        for given in some
    ]
    return [*(parts if asked.text is not None else ()), *pictures]


def vector(match: Match, shelves: Sequence[Shelf]) -> FloatArray:
    """Return the vector of a picture that was found, float32 (d,)."""
    shelf, row = _place(match.path, shelves)
    found: FloatArray = shelf.snapshot.taken[row]
    return found


def told(matches: Sequence[Match], shelves: Sequence[Shelf]) -> list[dict[str, Any]]:
    """Return the fields of ``models.Found`` of matches: their names, and what a grid needs."""
    places = [located(match.path, shelves) for match in matches]
    known: dict[str, dict[str, Any]] = {}
    for shelf in shelves:
        paths = [place.path for place in places if place.gallery == shelf.id]
        known.update(zip(paths, shelf.described(paths), strict=True))
    return [
        {
            **place.model_dump(),
            "score": match.score,
            "probability": match.probability,
            "date": match.date or known[place.path].get("date"),
            "width": known[place.path].get("width"),
            "height": known[place.path].get("height"),
            "alike": tuple(located(path, shelves) for path in match.alike),
            "said": match.said,
        }
        for match, place in zip(matches, places, strict=True)
    ]


def located(path: Path, shelves: Sequence[Shelf]) -> models.Located:
    """Return what a picture that was found on one of the shelves is called."""
    shelf, row = _place(path, shelves)
    digest = shelf.snapshot.digests[row]
    return models.Located(gallery=shelf.id, id=digest, path=str(path))


def _place(path: Path, shelves: Sequence[Shelf]) -> tuple[Shelf, int]:
    rows = ((shelf, shelf.snapshot.row_of(str(path))) for shelf in shelves)
    return next((shelf, row) for shelf, row in rows if row is not None)


def filter_of(among: models.Among) -> Filter | None:
    """Return the library's filter; None where all is searched."""
    given = among.model_dump(exclude_defaults=True)
    if not given:
        return None
    if "words" in given:
        given["text"] = given.pop("words")
    return Filter(**given)


def holding(shelves: Sequence[Shelf], under: str | None) -> list[Shelf]:
    """Return the shelves that have a folder; what a client says is compared, never opened.

    Raises
    ------
    DataError
        If none has it.
    """
    if under is None:
        return list(shelves)
    found = [shelf for shelf in shelves if under in shelf.folders]
    if not found:
        raise DataError(f"No gallery has a folder {under[:200]!r} with pictures.")
    return found


def passing(shelf: Shelf, where: Filter | None) -> Snapshot:
    """Return the pictures of a shelf that pass a filter, found once while somebody has them."""
    return shelf.snapshot if where is None else shelf.gallery.passing(where)
