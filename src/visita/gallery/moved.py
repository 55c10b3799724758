"""A folder that was moved keeps its gallery: known by its files, once its old place is gone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from visita.data.pictures import PictureFile, printable
from visita.errors import ArtifactError
from visita.gallery.card import CARD, gallery_name, read_card
from visita.gallery.catalog import Catalog
from visita.progress import say


def adopt_moved(place: Path, folder: Path, files: Mapping[str, PictureFile]) -> None:
    """Move the gallery that knows most of some files to ``place``, where there is none.

    Its own folder has to be gone, and at least half of its pictures to be among the files, by
    relative path and size; whether they are the same is then found as for any known file.

    Parameters
    ----------
    folder
        Where the files are.
    files
        By path relative to it.
    """
    if place.exists() or not place.parent.is_dir():
        return
    fits = {other: _fit(other, files) for other in sorted(place.parent.iterdir())}
    best = max(fits, key=fits.__getitem__, default=place)
    if fits.get(best, 0) >= 0.5:
        with suppress(OSError):  # then it is as if it had not been found
            before = read_card(best).folder
            best.replace(place)
            say(f"{printable(str(folder))} is taken for {before}, which is gone: nothing is lost")


def _fit(other: Path, files: Mapping[str, PictureFile]) -> float:
    """Return how much of what a gallery knows is among the files; 0 if its folder is there."""
    with suppress(ArtifactError):
        if not other.is_symlink() and (other / CARD).is_file():
            before = Path(read_card(other).folder)
            if gallery_name(before) == other.name and not before.exists():
                known = {p: e for p, e in Catalog(other).entries.items() if e.gone is None}
                here = sum(p in files and files[p].size == e.size for p, e in known.items())
                return here / max(1, len(known))
    return 0.0
