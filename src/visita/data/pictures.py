"""Finding the picture files below a folder: which kinds are read, what is left out."""

from __future__ import annotations

import os
import re
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from pathlib import Path, PurePath
from typing import NamedTuple

from visita.data.formats import is_raw_name, reads_raw
from visita.data.locations import location
from visita.errors import DataError
from visita.types import Skipped

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp"),
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpx"),
    *(".ppm", ".pgm", ".pbm", ".pnm"),
)
VIDEO = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".mts"),
    *(".m2ts", ".3gp", ".ogv"),
)
UNREAD = (
    *(".psd", ".psb", ".xcf", ".kra", ".jxl", ".svg", ".svgz", ".ai", ".eps", ".cdr", ".exr"),
    *(".hdr", ".tga", ".dds", ".pcx", ".ico", ".icns", ".wmf", ".emf", ".jxr", ".wdp", ".djvu"),
)
"""Pictures in a format that visita does not read."""
LEFT_OUT = (
    *("@eadir", "@recycle", "@recently-snapshot", "#recycle", "#snapshot"),  # network storage
    *("$recycle.bin", "recycler", "system volume information", "lost+found", "__macosx"),
    *(".trash", ".trashes", ".trash-*", ".dtrash", ".thumbnails", ".picasaoriginals", "*.lrdata"),
)
"""Folders of systems and programs, in lower case: previews, trash and copies."""


def is_picture_name(name: str) -> bool:
    """Tell whether a file's name ends like a picture's that can be read, in any case."""
    return name.lower().endswith(SUFFIXES) or (is_raw_name(name) and reads_raw())


def unread_kind(name: str) -> str | None:
    """Return the kind of a picture or video that is not read, as in ``RAW``; None of all else."""
    if is_raw_name(name):
        return "RAW"
    lower = name.lower()
    if lower.endswith(VIDEO):
        return "video"
    return lower.rpartition(".")[2].upper() if lower.endswith(UNREAD) else None


def is_left_out(folder_name: str) -> bool:
    """Tell whether a folder is one of ``LEFT_OUT``."""
    return any(fnmatchcase(folder_name.lower(), pattern) for pattern in LEFT_OUT)


_GLOB = re.compile(r"[*?\[]")


class Exclusion:
    """Glob patterns, and which of them have matched anything.

    ``*`` crosses ``/``. A pattern is matched with names and with posix paths relative to
    ``folder``; one that begins with ``./`` with these paths alone; an absolute one with
    absolute paths. One that ends with ``/`` is for folders. Case counts where the file system
    of ``folder`` has any.
    """

    def __init__(self, patterns: Iterable[str], folder: Path) -> None:
        self._real = folder.resolve().as_posix().rstrip("/")
        distinct = list(dict.fromkeys(patterns))
        flags = re.IGNORECASE if distinct and ignores_case(folder) else 0
        self._patterns = [_Pattern(pattern, flags) for pattern in distinct]

    def __bool__(self) -> bool:
        """Tell whether there is any pattern."""
        return bool(self._patterns)

    def __call__(self, path: PurePath, *, is_folder: Callable[[], bool]) -> bool:
        """Tell whether to leave out a file or folder, by its path relative to the folder.

        Every pattern that matches it is noted. What lies in a folder that is left out is not
        itself matched; see ``hides``.
        """
        absolute = f"{self._real}/{path.as_posix()}"
        matching = [
            pattern for pattern in self._patterns if pattern.matches(path, absolute, is_folder)
        ]
        return bool(matching)

    def hides(self, path: str) -> bool:
        """Tell whether a file is left out, by itself or in a folder that is."""
        file = PurePath(path)
        return self(file, is_folder=lambda: False) or any(
            self(outer, is_folder=lambda: True) for outer in file.parents if outer.name
        )

    def unmatched(self) -> tuple[str, ...]:
        """Return the patterns that have matched nothing so far."""
        return tuple(pattern.given for pattern in self._patterns if not pattern.used)


class _Pattern:
    def __init__(self, given: str, flags: int) -> None:
        self.given = given
        self.used = False
        pattern = given.replace(os.sep, "/")
        self._of_folders = pattern.endswith("/")
        pattern = pattern.rstrip("/")
        self._absolute = Path(pattern).is_absolute()
        self._anchored = pattern.startswith("./")
        ways = {pattern, _followed(pattern)} if self._absolute else {pattern.removeprefix("./")}
        self._match = re.compile("|".join(map(translate, ways)), flags).match

    def matches(self, path: PurePath, absolute: str, is_folder: Callable[[], bool]) -> bool:
        names = [absolute] if self._absolute else [path.as_posix()]
        if not self._absolute and not self._anchored:
            names.append(path.name)
        is_match = any(self._match(name) for name in names)
        is_match = is_match and (not self._of_folders or is_folder())
        self.used |= is_match
        return is_match


def _followed(pattern: str) -> str:
    """Return an absolute pattern without links above what it names, as folders are opened."""
    parts = Path(pattern).parts
    literal = next((k for k, part in enumerate(parts) if _GLOB.search(part)), len(parts))
    head = min(literal, len(parts) - 1)
    return Path(*parts[:head]).resolve().joinpath(*parts[head:]).as_posix()


def ignores_case(folder: Path) -> bool:
    """Tell whether names in a folder that differ in case alone are one; asked of its files."""
    try:
        names = {entry.name for entry in os.scandir(folder)}
    except OSError:
        return False
    swapped = next((name.swapcase() for name in names if name.swapcase() not in names), None)
    return swapped is not None and os.path.lexists(folder / swapped)


BESIDE = (".xmp", ".json", ".txt")
"""Files that say something of the picture beside them."""
EXPORTED = ".supplemental-metadata"
"""What Google Takeout puts between the name of a picture and ``.json``."""


class BesideFile(NamedTuple):
    """A file beside a picture, with what tells whether it has changed since."""

    path: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file that is named like a picture, with what tells whether it has changed since."""

    name: str
    """Its path; a string, as there may be a million."""
    size: int
    """Bytes."""
    mtime_ns: int
    inode: int
    """The file system's number of the file, which a rename does not change; 0 if not known, as
    where Windows lists a folder."""
    beside: tuple[BesideFile, ...] = ()
    """Such as ``a.xmp`` and ``a.jpg.xmp`` of ``a.jpg``."""

    @property
    def path(self) -> Path:
        """Where it is."""
        return location(self.name)


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
    (``visita.data.pictures.LEFT_OUT``). A linked folder is followed once, and not at all where it
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
        PictureFile(path, status.st_size, status.st_mtime_ns, status.st_ino, walk.beside(path))
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
        self._beside: dict[str, list[BesideFile]] = {}
        self._seen: set[tuple[int, int]] = set()
        self._root = folder
        self._excluded = excluded

    def beside(self, path: str) -> tuple[BesideFile, ...]:
        """Return the files beside a picture that are named after it, or after it less its end."""
        if not self._beside:
            return ()
        stem = path[: path.rfind(".")]
        return tuple(sorted((*self._beside.get(path, ()), *self._beside.get(stem, ()))))

    def skip(self, path: str, reason: str) -> None:
        self.skipped.append(Skipped(printable(path), reason))

    def enter(self, folder: str) -> None:
        """Note the pictures and folders in ``folder``, unless it was entered before."""
        status = os.stat(folder)  # noqa: PTH116  plain strings are twice as fast as Paths
        identity = (status.st_dev, status.st_ino)
        if identity in self._seen:
            return
        with os.scandir(folder) as entries:
            in_order = sorted(entries, key=lambda entry: entry.name)
        self._seen.add(identity)
        for entry in in_order:
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
        is_folder = entry.is_dir()
        if is_folder and is_left_out(entry.name):
            self.left_out[printable(entry.name)] += 1
        elif entry.name.startswith("."):
            return
        elif is_folder:
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
        elif entry.name.lower().endswith(BESIDE):
            status = entry.stat()
            named = entry.path[: entry.path.rfind(".")].removesuffix(EXPORTED)
            found = BesideFile(entry.path, status.st_size, status.st_mtime_ns)
            self._beside.setdefault(named, []).append(found)
        elif kind := unread_kind(entry.name):
            self.other_kinds[kind] += 1
