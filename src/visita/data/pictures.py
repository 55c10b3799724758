"""Finding the picture files below a folder."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from visita.data.exclusion import Exclusion
from visita.data.kinds import is_left_out, is_picture_name, unread_kind
from visita.errors import DataError
from visita.types import Skipped


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file that is named like a picture, with what tells whether it has changed since."""

    path: Path
    size: int
    """Bytes."""
    mtime_ns: int
    inode: int
    """The file system's number of the file, which a rename does not change."""


@dataclass(frozen=True)
class Found:
    """What lies below a folder.

    Attributes
    ----------
    pictures : list of PictureFile
        Files with a picture's suffix, sorted by path.
    skipped : list of Skipped
        Broken links, folders that cannot be read, and whatever has a picture's suffix without
        being a regular file.
    other_kinds : Counter
        How many files there are of each kind that is not read, as in ``{"video": 3, "PSD": 1}``.
    left_out : Counter
        How many folders of systems and programs were left out, by name, as in ``@eaDir``.
    unmatched : tuple of str
        Patterns of what to exclude that have matched nothing.
    """

    pictures: list[PictureFile]
    skipped: list[Skipped]
    other_kinds: Counter[str]
    left_out: Counter[str]
    unmatched: tuple[str, ...]


def find_pictures(folder: Path, exclude: Iterable[str] = ()) -> Found:
    """Return the files below ``folder`` that have a picture's suffix, and what else there is.

    Hidden files and folders are left out, and folders of previews, of trash and of the system
    (``visita.data.kinds.LEFT_OUT``). A linked folder is followed once, and not at all where it
    is reached without the link too.

    Parameters
    ----------
    exclude
        Glob patterns of files and folders to leave out, see ``Exclusion``.

    Raises
    ------
    DataError
        If ``folder`` is missing, not a folder or cannot be read.
    """
    excluded = Exclusion(exclude, folder)
    walk = _Walk(folder, excluded)
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
        PictureFile(Path(path), status.st_size, status.st_mtime_ns, status.st_ino)
        for path, status in sorted(walk.pictures.items())
    ]
    return Found(pictures, walk.skipped, walk.other_kinds, walk.left_out, excluded.unmatched())


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
    def __init__(self, folder: Path, excluded: Exclusion) -> None:
        self.pictures: dict[str, os.stat_result] = {}
        self.skipped: list[Skipped] = []
        self.other_kinds: Counter[str] = Counter()
        self.left_out: Counter[str] = Counter()
        self.folders: deque[str] = deque()
        self.links: deque[str] = deque()
        self._seen: set[tuple[int, int]] = set()
        self._root = folder
        self._excluded = excluded

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
        for entry in found:
            try:
                if not self._is_excluded(entry):
                    self._note(entry)
            except OSError as error:
                self.skip(entry.path, f"cannot be read: {error.strerror}")

    def _is_excluded(self, entry: os.DirEntry[str]) -> bool:
        if not self._excluded:
            return False
        path = Path(entry.path).relative_to(self._root)
        return self._excluded(path, is_folder=entry.is_dir)

    def _note(self, entry: os.DirEntry[str]) -> None:
        if is_left_out(entry.name) and entry.is_dir():
            self.left_out[printable(entry.name)] += 1
        elif entry.name.startswith("."):
            return
        elif entry.is_dir():
            (self.links if entry.is_symlink() else self.folders).append(entry.path)
        elif entry.is_file():
            self._note_file(entry)
        elif entry.is_symlink():
            self.skip(entry.path, "is a broken link")
        elif is_picture_name(entry.name):
            self.skip(entry.path, "is not a regular file")

    def _note_file(self, entry: os.DirEntry[str]) -> None:
        if is_picture_name(entry.name):
            self.pictures[entry.path] = entry.stat()
        elif kind := unread_kind(entry.name):
            self.other_kinds[kind] += 1
