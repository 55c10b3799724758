"""Which galleries a matcher has not read yet: another made what is kept of their pictures."""

from __future__ import annotations

from pathlib import Path

from visita.errors import ArtifactError, DataError
from visita.gallery.catalog import Catalog
from visita.gallery.listing import GalleryInfo, galleries
from visita.gallery.stores import read_vectors


def behind(matcher_fingerprint: str, home: str | Path | None = None) -> list[GalleryInfo]:
    """Return the galleries in which a matcher lacks the vector of a picture, sorted by name.

    A search with it reads those pictures first: no vectors of two matchers are ever compared.
    """
    return [gallery for gallery in galleries(home) if _is_behind(gallery, matcher_fingerprint)]


def _is_behind(gallery: GalleryInfo, matcher_fingerprint: str) -> bool:
    shown = set(Catalog(gallery.path).shown().digests)
    try:
        return not shown <= read_vectors(gallery.path, matcher_fingerprint).rows.keys()
    except (DataError, ArtifactError):
        return bool(shown)
