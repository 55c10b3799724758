"""Reading the words in the pictures of a gallery, which takes a second or more each.

What was read is kept by content, a few pictures at a time: it goes on where it was, the gallery is
locked for moments only, and a picture that cannot be read keeps no other from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from PIL.Image import Image

from visita.brief import Brief
from visita.data.decode import decode
from visita.data.pictures import printable
from visita.errors import PictureError
from visita.gallery.catalog import Catalog
from visita.gallery.entries import Entry
from visita.gallery.metadata import MetadataFile, Sources, words_file
from visita.gallery.survey import root_of
from visita.gallery.sync import ProgressBar
from visita.gallery.table import is_in_step, write_table
from visita.store.lock import WriterLock
from visita.types import Skipped

_AT_ONCE = 8


@dataclass(frozen=True, slots=True, repr=False)
class WordsReport(Brief):
    """What reading the words in pictures did.

    Attributes
    ----------
    read : int
        Contents that were read now.
    worded : int
        Of these, with words.
    known : int
        Contents that were read before.
    skipped : tuple of Skipped
        Files that could not be read now, and why; they are tried again the next time.
    """

    read: int
    worded: int
    known: int
    skipped: tuple[Skipped, ...]


def read_words(
    place: Path, folder: Path, reader: Callable[[Image], str], progress: ProgressBar
) -> WordsReport:
    """Read the words in what the gallery in ``place`` knows of ``folder`` and did not read yet.

    Raises
    ------
    UnwritableError
        If what was read cannot be kept.
    ArtifactError
        If the gallery is removed meanwhile.
    """
    entries, kept, lock = Catalog(place).there(), words_file(place), WriterLock(place)
    contents = {entry.digest: (path, entry) for path, entry in entries.items()}
    known = kept.read(contents).keys()
    unread = {digest: of for digest, of in contents.items() if digest not in known}
    skipped: list[Skipped] = []
    counts = {True: 0, False: 0}
    with progress("Reading words", len(unread)) as advance:
        rest = iter(unread.items())
        while some := list(islice(rest, _AT_ONCE)):
            found = dict(_read(root_of(folder), some, reader, skipped))
            _keep(found, kept, lock)
            for said in found.values():
                counts[bool(said[0]["words"])] += 1
            advance(len(some))
    _tabulate(place, lock)
    return WordsReport(sum(counts.values()), counts[True], len(known), tuple(skipped))


def _read(
    root: str,
    contents: Iterable[tuple[str, tuple[str, Entry]]],
    reader: Callable[[Image], str],
    skipped: list[Skipped],
) -> Iterator[tuple[str, list[dict[str, str]]]]:
    for digest, (path, entry) in contents:
        file = Path(root + path)
        try:
            words = reader(decode(file))
        except PictureError as error:
            skipped.append(Skipped(printable(str(file)), str(error), passing=True))
        except Exception as error:  # of libraries of which each raises others
            reason = f"its words cannot be read: {printable(str(error))[:200]}"
            skipped.append(Skipped(printable(str(file)), reason, passing=True))
        else:
            if _is_as_known(file, entry):
                yield digest, [{"words": words}]
            else:
                skipped.append(Skipped(printable(str(file)), "has changed", passing=True))


def _is_as_known(file: Path, entry: Entry) -> bool:
    with suppress(OSError):
        now = os.stat(file)  # noqa: PTH116 - a name may be no text
        return (now.st_size, now.st_mtime_ns) == (entry.size, entry.mtime_ns)
    return False


def _keep(found: Sources, kept: MetadataFile, lock: WriterLock) -> None:
    if found:
        lock.acquire()
        try:
            kept.add(found, lock)
        finally:
            lock.release()


def _tabulate(place: Path, lock: WriterLock) -> None:
    if is_in_step(place):
        return
    lock.acquire()
    try:
        write_table(place, Catalog(place).entries, lock)
    finally:
        lock.release()
