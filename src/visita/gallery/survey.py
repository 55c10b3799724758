"""What became of the files of a gallery since it was last in step, found without reading them."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from itertools import compress
from pathlib import Path, PurePath
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from visita.data.buckets import ObjectFile, find_objects
from visita.data.files import open_at_once
from visita.data.locations import ObjectPath
from visita.data.pictures import SUFFIXES, Exclusion, Found, PictureFile, find_pictures, printable
from visita.errors import DataError, PassingError, PictureError
from visita.gallery.entries import Entries, Entry
from visita.gallery.metadata import VERSION, stamp_of
from visita.store.texts import Texts
from visita.types import Skipped

CHANGED = "changed or disappeared while it was read; it is tried again at the next sync"
_PIECE = 2**18


def digest_of(file: PictureFile) -> str:
    """Return the hex SHA-256 of a file's content.

    Raises
    ------
    PassingError
        If it cannot be read or is no longer as it was found. The message is the bare reason.
    """
    try:
        with open(file.path, "rb", opener=open_at_once) as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode) or not _same(file, status):
                raise PassingError(CHANGED)
            return _digest(opened, file.size)
    except FileNotFoundError as error:
        raise PassingError(CHANGED) from error
    except OSError as error:
        raise PassingError(f"cannot be read: {error.strerror or error}") from error


def _digest(opened: IO[bytes], size: int) -> str:
    # So many bytes and no more: what the system makes up as it is read may never end.
    digest = hashlib.sha256()
    while size > 0 and (piece := opened.read(min(size, _PIECE))):
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


def is_as_found(file: PictureFile) -> bool:
    """Tell whether the file still has the size and time of change it was found with."""
    try:
        return _same(file, file.path.stat())
    except OSError:
        return False


def can_be_read(file: PictureFile, digest: str) -> bool:
    """Tell whether a file can be read to its end, and is what it was."""
    try:
        return digest_of(file) == digest
    except PictureError:
        return False


def decoder_versions() -> str:
    """Return what decodes pictures here; what failed with other versions is tried again."""
    return ", ".join(f"{name} {_version(name)}" for name in ("visita", "pillow", "pillow-heif"))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _same(file: PictureFile, status: os.stat_result) -> bool:
    is_alike = (status.st_size, status.st_mtime_ns) == (file.size, file.mtime_ns)
    return is_alike and file.inode in (0, status.st_ino)


@dataclass(frozen=True)
class Walk:
    """The picture files of a folder.

    Attributes
    ----------
    folder : Path
    files : dict of PictureFile
        By path relative to the folder.
    found : Found
        The same, and what else there is.
    excluded : Exclusion
        What was not looked at.
    """

    folder: Path
    files: dict[str, PictureFile]
    found: Found
    excluded: Exclusion

    @classmethod
    def through(cls, folder: Path, exclude: Iterable[str]) -> Self:
        """Look for the pictures of a folder.

        Raises
        ------
        DataError
            If there are none.
        """
        patterns = tuple(exclude)
        if isinstance(folder, ObjectPath):
            found = find_objects(folder, patterns)
        else:
            found = find_pictures(folder, patterns)
        if not found.pictures:
            first = next(iter(found.skipped), None)
            reason = f" ({first.item}: {first.reason})" if first else ""
            raise DataError(
                f"No pictures were found in {printable(str(folder))}{reason}; looked for names "
                f"that end in {', '.join(SUFFIXES)}."
            )
        start = len(root_of(folder))
        files = {file.name[start:]: file for file in found.pictures}
        return cls(folder, files, found, Exclusion(patterns, folder))

    def hides(self, path: str) -> bool:
        """Tell whether a file may be there all the same: excluded, or where none could look."""
        file = PurePath(printable(root_of(self.folder) + path))
        return self.excluded.hides(path) or any(
            str(place) in self._unseen for place in (file, *file.parents)
        )

    @cached_property
    def _unseen(self) -> frozenset[str]:
        return frozenset(problem.item for problem in self.found.skipped)


def root_of(folder: Path) -> str:
    """Return what a path relative to ``folder`` is added to."""
    return os.path.join(folder, "")  # noqa: PTH118  ends with a slash, unlike a Path


KEPT_DAYS = 30
"""How long what is gone is kept; it may be on a disk that comes back."""


@dataclass
class Survey:
    """The files of a folder beside what the catalogue says of them.

    Attributes
    ----------
    current : int
        How many pictures are as they were read.
    broken : list of str
        Paths of files that are as they were and no pictures.
    outdated : list of str
        Paths of files to be read.
    changes : dict of Entry
        Entries to be written anew without reading anything: files that went, came back, or have
        another inode.
    gone : list of str
        Paths that were there the last time and are not now.
    expired : list of str
        Paths that have been gone for longer than they are kept.
    undescribed : list of str
        Paths of pictures that are as they were, and of which other metadata is to be read.
    """

    current: int
    broken: list[str]
    outdated: list[str]
    changes: dict[str, Entry]
    gone: list[str]
    expired: list[str]
    undescribed: list[str]


def survey(
    files: Mapping[str, PictureFile],
    entries: Entries,
    stored: Container[str],
    decoder: str,
    is_hidden: Callable[[str], bool],
) -> Survey:
    """Compare files that were found, by path, with the entries of the catalogue.

    Parameters
    ----------
    stored
        Digests of the contents that have a vector.
    decoder
        Versions of what decodes pictures now.
    is_hidden
        Tells a path of which nothing is known now, as it was excluded or its folder cannot be
        read. Its entry stays as it is.
    """
    now = int(time.time())
    settled = _settled(files, entries, stored)
    surveyed = Survey(int(np.count_nonzero(settled)), [], [], {}, [], [], [])
    rest = {path: files[path] for path in compress(files, ~settled)}
    is_same = _same_content(rest, entries, surveyed.current)
    for path, file in rest.items():
        entry = entries.get(path)
        if entry is None or not is_same(path) or not _is_known(entry, stored, decoder):
            surveyed.outdated.append(path)
            continue
        is_described = entry.described == stamp_of(path, file)
        if isinstance(file, ObjectFile) and not (is_described or entry.error):
            surveyed.outdated.append(path)  # what has to be fetched anyway is read whole
            continue
        if entry.error is None:
            surveyed.current += 1
            if not is_described:
                surveyed.undescribed.append(path)
        else:
            surveyed.broken.append(path)
        if entry.inode != file.inode or entry.gone is not None:
            surveyed.changes[path] = entry._replace(inode=file.inode, gone=None)
    for path in entries:
        if path in files or is_hidden(path):
            continue
        entry = entries[path]
        if entry.gone is None:
            surveyed.gone.append(path)
            surveyed.changes[path] = entry._replace(gone=now)
        elif now - entry.gone > KEPT_DAYS * 24 * 3600:
            surveyed.expired.append(path)
    return surveyed


def _settled(
    files: Mapping[str, PictureFile], entries: Entries, stored: Container[str]
) -> NDArray[np.bool_]:
    """Tell of which files (n,) arrays tell that nothing is to be done: of nearly all, mostly."""
    rows, arrays = entries.rows(files), entries.arrays
    settled = rows >= 0
    if not settled.any():
        return settled
    for name in ("size", "mtime_ns", "inode"):
        numbers = (getattr(file, name) for file in files.values())
        try:
            settled &= np.fromiter(numbers, arrays[name].dtype, len(files)) == arrays[name][rows]
        except OverflowError:  # no array can hold one of them
            return np.zeros(len(files), np.bool_)
    words = Texts.from_arrays(arrays, "described.words")
    plain = [number for number, word in enumerate(words) if word == VERSION]
    is_picture = (arrays["error"] < 0) & (arrays["gone"] < 0) & np.isin(arrays["described"], plain)
    has_vector = map(stored.__contains__, Texts.from_arrays(arrays, "digest"))
    is_picture &= np.fromiter(has_vector, np.bool_, len(is_picture))
    alone = np.fromiter((not file.beside for file in files.values()), np.bool_, len(files))
    return np.asarray(settled & alone & is_picture[rows])


def unreadable(
    surveyed: Survey, files: Mapping[str, PictureFile], entries: Mapping[str, Entry]
) -> tuple[Skipped, ...]:
    """Return the files that are known to be no pictures, and why."""
    return tuple(
        Skipped(printable(str(files[path].path)), entries[path].error or "")
        for path in surveyed.broken
    )


def _is_known(entry: Entry, stored: Container[str], decoder: str) -> bool:
    return entry.digest in stored if entry.error is None else entry.decoder == decoder


def _same_content(
    files: Mapping[str, PictureFile], entries: Entries, settled: int
) -> Callable[[str], bool]:
    """Return what tells whether a file that has an entry still has the content it was read with.

    Size and time of change tell, and the inode, as two files of equal size and time may have
    changed places. Some file systems number their files anew each time that they are mounted:
    where most inodes are others, only files that could be taken for each other are in doubt.
    So many others are ``settled``.
    """
    known = {path: entry for path in files if (entry := entries.get(path))}
    similar = [path for path, entry in known.items() if _looks_same(entry, files[path])]
    moved = [path for path in similar if known[path].inode not in (0, files[path].inode)]
    doubtful = set(moved)
    if 2 * len(moved) > len(similar) + settled:
        alike = Counter((entry.size, entry.mtime_ns) for entry in entries.values())
        doubtful = {p for p in moved if alike[known[p].size, known[p].mtime_ns] > 1}
    same = set(similar) - doubtful
    return same.__contains__


def _looks_same(entry: Entry, file: PictureFile) -> bool:
    return (entry.size, entry.mtime_ns) == (file.size, file.mtime_ns)
