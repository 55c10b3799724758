"""All galleries of a user, and the end of one."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from visita.artifact import read_sealed, write_sealed
from visita.data.locations import in_bucket, location
from visita.data.pictures import PictureFile, printable
from visita.errors import ArtifactError, DamagedError, UnknownNameError, did_you_mean
from visita.gallery.catalog import INDEX, Catalog
from visita.gallery.discarding import discard
from visita.home import data_home
from visita.progress import say, say_once

FORMAT = 3
"""Format 1 had no seal, and its catalogue in SQLite; format 2 no metadata of pictures."""
CARD = "gallery.json"


@dataclass(frozen=True, slots=True)
class Card:
    """What is written on it: the folder, with what UTF-8 cannot hold escaped, and the format."""

    folder: str
    format: int


def galleries_home(home: str | Path | None) -> Path:
    """Return the folder that holds all galleries below ``home``, or the user's."""
    return Path(home or data_home()) / "galleries"


def gallery_name(folder: Path) -> str:
    """Return the name of the gallery of a folder, which is absolute and without links."""
    slug = re.sub(r"[^\w-]+", "-", folder.name.lower()).strip("-")[:40] or "pictures"
    return f"{slug}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"


def read_card(place: Path) -> Card:
    """Return the card of the gallery in ``place``.

    Raises
    ------
    DamagedError
        If it is missing or not as it was written.
    ArtifactError
        If the gallery was written by a newer visita.
    """
    card = read_sealed(place / CARD)
    version, folder = card.get("format"), card.get("folder")
    if not isinstance(version, int) or not isinstance(folder, str):
        raise DamagedError(f"{place / CARD} is damaged: it is no card of a gallery.")
    if version > FORMAT:
        raise ArtifactError(f"{place} was written by a newer visita; upgrade to use it.")
    return Card(folder, version)


def write_card(place: Path, folder: Path) -> None:
    """Write the card of a gallery; on return it is on disk."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_sealed(
        place / CARD, {"format": FORMAT, "folder": printable(str(folder)), "created": created}
    )


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
    fits = {gallery: _fit(gallery, files) for gallery in sorted(place.parent.iterdir())}
    best = max(fits, key=fits.__getitem__, default=place)
    if fits.get(best, 0) >= 0.5:
        with suppress(OSError):  # then it is as if it had not been found
            before = read_card(best).folder
            best.replace(place)
            say(f"{printable(str(folder))} is taken for {before}, which is gone: nothing is lost")


def _fit(gallery: Path, files: Mapping[str, PictureFile]) -> float:
    """Return how much of what a gallery knows is among the files; 0 if its folder is there."""
    with suppress(ArtifactError):
        if not gallery.is_symlink() and (gallery / CARD).is_file():
            before = Path(read_card(gallery).folder)
            if gallery_name(before) == gallery.name and not before.exists():
                entries = {p: e for p, e in Catalog(gallery).entries.items() if e.gone is None}
                here = sum(p in files and files[p].size == e.size for p, e in entries.items())
                return here / max(1, len(entries))
    return 0.0


@dataclass(frozen=True, slots=True)
class GalleryInfo:
    """What there is to say of a gallery without opening it.

    Attributes
    ----------
    name : str
        What ``remove_gallery`` takes.
    folder : str
        Where its pictures are, or were; empty if damage took that.
    pictures : int
        How many of them it knows.
    bytes : int
        Room that it takes on disk; the pictures do not count.
    path : Path
        Where that is.
    """

    name: str
    folder: str
    pictures: int
    bytes: int
    path: Path


def galleries(home: str | Path | None = None) -> list[GalleryInfo]:
    """Return all galleries below ``home``, or the user's, sorted by name."""
    return [_info(path) for path in _paths(home).values()]


def gallery_paths(name: str | None, home: Path | None = None) -> list[Path]:
    """Return where all galleries are, or the one of this name or folder; see ``find_gallery``."""
    return [find_gallery(name, home)] if name else list(_paths(home).values())


def find_gallery(name: str, home: Path | None = None) -> Path:
    """Return where the gallery of this name, or of this folder, keeps what it knows.

    Raises
    ------
    UnknownNameError
        If there is none; the message has the nearest name.
    """
    paths = _paths(home)
    path = paths.get(name) or paths.get(gallery_name(_folder(name)))
    if path is None:
        known = ", ".join(paths) or "none"
        raise UnknownNameError(
            f"No gallery is called {name!r}, or of a folder of that name."
            f"{did_you_mean(name, paths)} There are: {known}."
        )
    return path


def _folder(name: str) -> Path:
    return location(name) if in_bucket(name) else Path(name).expanduser().resolve()


def remove_gallery(name: str, home: Path | None = None) -> None:
    """Delete what a gallery, named as in ``find_gallery``, keeps. Its pictures stay.

    Raises
    ------
    UnknownNameError
        If there is no such gallery.
    ArtifactError
        If it cannot be deleted.
    """
    path = find_gallery(name, home)
    try:
        discard(path)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be deleted: {error.strerror}.") from error


def _paths(home: str | Path | None) -> dict[str, Path]:
    root = galleries_home(home)
    places = sorted(root.iterdir()) if root.is_dir() else []
    return {
        path.name: path
        for path in places
        if not path.is_symlink() and any((path / name).is_file() for name in (CARD, INDEX))
    }


def _info(path: Path) -> GalleryInfo:
    try:
        folder = read_card(path).folder
    except ArtifactError as error:
        folder = ""
        say_once(str(error))
    return GalleryInfo(path.name, folder, len(Catalog(path).shown().paths), _bytes(path), path)


def _bytes(folder: Path) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a sync may be running
                size += Path(parent, name).lstat().st_size
    return size
