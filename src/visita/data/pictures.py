"""Finding the picture files below a folder."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

from visita.errors import DataError
from visita.types import Skipped

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx", ".ppm", ".pgm", ".pbm", ".pnm"),
)


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file that is named like a picture, with what tells whether it has changed since."""

    path: Path
    size: int
    """Bytes."""
    mtime_ns: int


def find_pictures(
    folder: Path, exclude: Iterable[str] = ()
) -> tuple[list[PictureFile], list[Skipped]]:
    """Return the files below ``folder`` that have a picture's suffix, sorted by path.

    Hidden files and folders are left out. A linked folder is followed once, and not at all
    where it is reached without the link too.

    Parameters
    ----------
    exclude
        Glob patterns (``*`` crosses ``/``); a file or folder is left out where one matches
        its name or its posix path relative to ``folder``.

    Returns
    -------
    pictures, skipped
        ``skipped`` holds broken links, folders that cannot be read, and whatever has a
        picture's suffix without being a regular file.

    Raises
    ------
    DataError
        If ``folder`` is missing, not a folder or cannot be read.
    """
    walk = _Walk(folder, exclude)
    try:
        walk.enter(str(folder))
    except OSError as error:
        raise DataError(
            f"{printable(str(folder))} cannot be searched for pictures: {error.strerror}."
        ) from error
    while queue := walk.folders or walk.links:  # links last: they take no real folder's place
        inner = queue.popleft()
        try:
            walk.enter(inner)
        except OSError as error:
            walk.skip(inner, f"cannot be read: {error.strerror}")
    pictures = [
        PictureFile(Path(path), status.st_size, status.st_mtime_ns)
        for path, status in sorted(walk.pictures.items())
    ]
    return pictures, walk.skipped


def is_picture_name(name: str) -> bool:
    """Tell whether a file's name ends like a picture's, in any case."""
    return name.lower().endswith(SUFFIXES)


def picture_id(path: Path, folder: Path) -> str:
    """Return the posix path relative to ``folder``, ``printable``."""
    return printable(path.relative_to(folder).as_posix())


def path_below(picture: Path, folder: Path) -> str:
    """Return the posix path of ``picture`` from ``folder``, which holds it; links are not followed.

    Raises
    ------
    DataError
        If the picture lies elsewhere: a data set's file in ``folder`` may not lead there.
    """
    # abspath, as resolve() would leave a linked folder.
    inner, outer = (Path(os.path.abspath(path)) for path in (picture, folder))  # noqa: PTH100
    if not inner.is_relative_to(outer):
        raise DataError(
            f"{printable(str(picture))} lies outside {outer}, where the data set's file may not "
            f"lead. Write the file to a folder that holds the pictures."
        )
    return inner.relative_to(outer).as_posix()


def printable(name: str) -> str:
    r"""Return ``name`` such that UTF-8 can hold it: a stray byte 0xff becomes ``\udcff``."""
    return name.encode("utf-8", "backslashreplace").decode()


class _Walk:
    def __init__(self, folder: Path, exclude: Iterable[str]) -> None:
        self.pictures: dict[str, os.stat_result] = {}
        self.skipped: list[Skipped] = []
        self.folders: deque[str] = deque()
        self.links: deque[str] = deque()
        self._seen: set[tuple[int, int]] = set()
        self._root = folder
        self._excludes = [re.compile(translate(pattern)).match for pattern in exclude]

    def skip(self, path: str, reason: str) -> None:
        self.skipped.append(Skipped(printable(path), reason))

    def enter(self, folder: str) -> None:
        """Note the pictures and folders in ``folder``, unless it was entered before."""
        status = os.stat(folder)  # noqa: PTH116  plain strings are twice as fast as Paths
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            return
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        self._seen.add(identity)
        for entry in self._wanted(found):
            try:
                self._note(entry)
            except OSError as error:
                self.skip(entry.path, f"cannot be read: {error.strerror}")

    def _wanted(self, entries: Iterable[os.DirEntry[str]]) -> Iterator[os.DirEntry[str]]:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if self._excludes:
                names = (entry.name, Path(entry.path).relative_to(self._root).as_posix())
                if any(matches(name) for matches in self._excludes for name in names):
                    continue
            yield entry

    def _note(self, entry: os.DirEntry[str]) -> None:
        if entry.is_dir():
            (self.links if entry.is_symlink() else self.folders).append(entry.path)
        elif entry.is_file():
            if is_picture_name(entry.name):
                self.pictures[entry.path] = entry.stat()
        elif entry.is_symlink():
            self.skip(entry.path, "is a broken link")
        elif is_picture_name(entry.name):
            self.skip(entry.path, "is not a regular file")
