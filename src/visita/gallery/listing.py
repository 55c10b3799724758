"""All galleries of a user, and the end of one."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from visita.errors import ArtifactError, UnknownNameError, did_you_mean
from visita.gallery.card import CARD, galleries_home, gallery_name, read_card
from visita.gallery.catalog import INDEX, Catalog
from visita.gallery.stores import discard
from visita.progress import say_once


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
    found = paths.get(name) or paths.get(gallery_name(Path(name).expanduser().resolve()))
    if found is None:
        known = ", ".join(paths) or "none"
        raise UnknownNameError(
            f"No gallery is called {name!r}, or of a folder of that name."
            f"{did_you_mean(name, paths)} There are: {known}."
        )
    return found


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
    found = sorted(root.iterdir()) if root.is_dir() else []
    return {
        path.name: path
        for path in found
        if not path.is_symlink() and any((path / name).is_file() for name in (CARD, INDEX))
    }


def _info(path: Path) -> GalleryInfo:
    try:
        folder = read_card(path).folder
    except ArtifactError as error:
        folder = ""
        say_once(str(error))
    entries = Catalog(path).entries.values()
    pictures = sum(entry.is_shown for entry in entries)
    return GalleryInfo(path.name, folder, pictures, _bytes(path), path)


def _bytes(folder: Path) -> int:
    size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # a sync may be running
                size += Path(parent, name).lstat().st_size
    return size
