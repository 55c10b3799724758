"""Looking through pictures without a query."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from visita.gallery.duplicates import Duplicates
from visita.search.query import Query
from visita.search.search import search
from visita.serve import models
from visita.serve.library import Library
from visita.serve.pages import end_of, start_of
from visita.serve.pictures import describe
from visita.serve.searching import filter_of, holding, passing
from visita.serve.shelf import Shelf
from visita.vectors import unit

NEAR = 10
"""Groups of the nearest pictures that one is looked for in."""


class Asked(models.Among):
    """Which pictures, in which order; ``gallery`` may be given several times."""

    gallery: Annotated[tuple[models.GalleryId, ...], Field(max_length=100)] = ()
    order: Literal["path", "date"] = "path"
    k: models.Count = 100
    cursor: models.Cursor | None = None


class AskedDuplicates(models.Shape):
    """Of which gallery."""

    gallery: models.GalleryId
    k: Annotated[int, Field(ge=1, le=100)] = 50
    cursor: models.Cursor | None = None


def alike(shelf: Shelf, picture: str) -> models.Alike:
    """Return the pictures that are nearly the same as one; see ``Looks``."""
    row = shelf.row(picture)
    query = Query.from_vectors(unit(shelf.snapshot.taken[row : row + 1]))
    groups = search(query, [shelf.gallery], NEAR, group=True)
    own = next((g for g in groups if picture in _ids(shelf, (g.path, *g.alike))), None)
    names = _ids(shelf, (own.path, *own.alike)) if own else []
    return models.Alike(pictures=tuple(describe(shelf, name) for name in names if name != picture))


def duplicates(library: Library, asked: AskedDuplicates) -> models.Duplicates:
    """Return groups of pictures that are nearly the same; see ``find_duplicates``."""
    start = start_of(asked)
    shelf = library.of(asked.gallery).shelf
    page = shelf.duplicates[start : start + asked.k]
    end = start + len(page)
    return models.Duplicates(
        total=len(shelf.duplicates),
        groups=tuple(_group(shelf, group) for group in page),
        next=end_of(end, asked) if end < len(shelf.duplicates) else None,
    )


def _group(shelf: Shelf, group: Duplicates) -> models.Duplicate:
    paths = [picture.path for picture in group.pictures]
    return models.Duplicate(
        exact=group.exact, pictures=tuple(describe(shelf, name) for name in _ids(shelf, paths))
    )


def _ids(shelf: Shelf, paths: Iterable[Path]) -> list[str]:
    """Return the pictures of some files, each once."""
    rows = map(shelf.snapshot.row_of, map(str, paths))
    return list(dict.fromkeys(shelf.snapshot.digests[row] for row in rows if row is not None))


def pictures(library: Library, asked: Asked) -> models.Pictures:
    """Return pictures that pass a filter, by path or the newest first."""
    start = start_of(asked)
    among = models.Among(**asked.model_dump(include=set(models.Among.model_fields)))
    where = filter_of(among)
    found: list[tuple[str, str, str]] = []
    shelves = {shelf.id: shelf for shelf in holding(library.shelves(asked.gallery), among.under)}
    for shelf in shelves.values():
        snapshot = passing(shelf, where)
        dates = shelf.dates if asked.order == "date" else {}
        found += [
            (dates.get(digest, ""), shelf.id, digest) for digest in dict.fromkeys(snapshot.digests)
        ]
    if asked.order == "date":
        found.sort(key=lambda each: each[0], reverse=True)
    page = found[start : start + asked.k]
    return models.Pictures(
        total=len(found),
        pictures=tuple(describe(shelves[gallery], digest) for _, gallery, digest in page),
        next=end_of(start + len(page), asked) if start + len(page) < len(found) else None,
    )
