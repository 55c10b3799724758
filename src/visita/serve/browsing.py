"""Looking through pictures without a query."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from visita.serve import models
from visita.serve.library import Library
from visita.serve.pages import end_of, start_of
from visita.serve.pictures import describe
from visita.serve.searching import filter_of, holding


class Asked(models.Among):
    """Which pictures, in which order; ``gallery`` may be given several times."""

    gallery: Annotated[tuple[models.GalleryId, ...], Field(max_length=100)] = ()
    order: Literal["path", "date"] = "path"
    k: models.Count = 100
    cursor: models.Cursor | None = None


def pictures(library: Library, asked: Asked) -> models.Pictures:
    """Return pictures that pass a filter, by path or the newest first."""
    start = start_of(asked)
    among = models.Among(**asked.model_dump(include=set(models.Among.model_fields)))
    where = filter_of(among)
    found: list[tuple[str, str, str]] = []
    shelves = {shelf.id: shelf for shelf in holding(library.shelves(asked.gallery), among.under)}
    for shelf in shelves.values():
        snapshot = shelf.snapshot if where is None else shelf.gallery.passing(where)
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
