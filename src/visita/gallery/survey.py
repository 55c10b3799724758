"""What became of the files of a gallery since it was last in step, found without reading them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace

from visita.data.pictures import PictureFile
from visita.gallery.catalog import Entry

KEPT_DAYS = 30
"""How long what is gone is kept; it may be on a disk that comes back."""


@dataclass(frozen=True)
class Survey:
    """The files of a folder beside what the catalogue says of them.

    Attributes
    ----------
    current : list of str
        Paths of pictures that are as they were read.
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
    """

    current: list[str]
    broken: list[str]
    outdated: list[str]
    changes: dict[str, Entry]
    gone: list[str]
    expired: list[str]


def survey(
    files: Mapping[str, PictureFile],
    entries: Mapping[str, Entry],
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
    found = Survey([], [], [], {}, [], [])
    is_same = _same_content(files, entries)
    for path, file in files.items():
        entry = entries.get(path)
        if entry is None or not is_same(path) or not _is_known(entry, stored, decoder):
            found.outdated.append(path)
            continue
        (found.current if entry.error is None else found.broken).append(path)
        seen = replace(entry, inode=file.inode, gone=None)
        if seen != entry:
            found.changes[path] = seen
    for path, entry in entries.items():
        if path in files or is_hidden(path):
            continue
        if entry.gone is None:
            found.gone.append(path)
            found.changes[path] = replace(entry, gone=now)
        elif now - entry.gone > KEPT_DAYS * 24 * 3600:
            found.expired.append(path)
    return found


def _is_known(entry: Entry, stored: Container[str], decoder: str) -> bool:
    return entry.digest in stored if entry.error is None else entry.decoder == decoder


def _same_content(
    files: Mapping[str, PictureFile], entries: Mapping[str, Entry]
) -> Callable[[str], bool]:
    """Return what tells whether a file that has an entry still has the content it was read with.

    Size and time of change tell, and the inode, as two files of equal size and time may have
    changed places. Some file systems number their files anew each time that they are mounted:
    where most inodes are others, only files that could be taken for each other are in doubt.
    """
    known = [path for path in files if path in entries and _same(entries[path], files[path])]
    moved = [path for path in known if entries[path].inode not in (0, files[path].inode)]
    doubtful = set(moved)
    if 2 * len(moved) > len(known):
        alike = Counter((entry.size, entry.mtime_ns) for entry in entries.values())
        doubtful = {p for p in moved if alike[entries[p].size, entries[p].mtime_ns] > 1}
    same = set(known) - doubtful
    return same.__contains__


def _same(entry: Entry, file: PictureFile) -> bool:
    return (entry.size, entry.mtime_ns) == (file.size, file.mtime_ns)
