"""What is written about the pictures of a gallery, as it was read: what its table is made from.

A file of sealed lines, as the catalogue is. What a picture's own file says goes by the digest
of its content, what the files beside it say by a stamp of these. It is on disk before the
catalogue names it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from visita.artifact import fingerprint_of
from visita.data.metadata.columns import Metadata, merged
from visita.data.pictures import PictureFile, printable
from visita.errors import ArtifactError
from visita.store.journal import append_line, each_line, last_lines, mend_lines, write_lines
from visita.store.lock import WriterLock

METADATA = "metadata.jsonl"
WORDS = "words.jsonl"
VERSION = "1"
"""Of what reads metadata: what another version read is read again."""
_LINE = 1000
Sources = dict[str, list[dict[str, Any]]]
"""What is said, by digest or stamp; of the files beside a picture, what counts more, then less."""


def stamp_of(path: str, file: PictureFile) -> str:
    """Return what changes when other metadata of a picture is to be read.

    ``path`` is its own, relative to the gallery's folder.
    """
    if not file.beside:
        return VERSION
    seen = [(Path(each.path).name, each.size, each.mtime_ns) for each in file.beside]
    return f"{VERSION}-{fingerprint_of([printable(str(part)) for part in (path, seen)])}"


def describe(path: str, digest: str, file: PictureFile) -> Sources:
    """Return what is written in a picture's file and beside it.

    Raises
    ------
    PassingError
        If that cannot be read now.
    """
    from visita.data.metadata.beside import read_beside  # noqa: PLC0415  a search reads none
    from visita.data.metadata.embedded import read_embedded  # noqa: PLC0415

    sources = {digest: [read_embedded(file.path).to_dict()]}
    if file.beside:
        more, less = read_beside([Path(each.path) for each in file.beside])
        sources[stamp_of(path, file)] = [more.to_dict(), less.to_dict()]
    return sources


def described(sources: Sources, digest: str, stamp: str) -> dict[str, Any] | None:
    """Return the values of ``Metadata`` of a picture; None if damage took some of it."""
    if any(key not in sources for key in keys_of(digest, stamp)):
        return None
    (own,) = sources[digest]
    if stamp not in sources:
        return own
    more, less = sources[stamp]
    return merged(map(Metadata.of, (more, own, less))).to_dict()


def keys_of(digest: str, stamp: str) -> tuple[str, ...]:
    """Return what the sources of a picture go by."""
    return (digest, stamp) if "-" in stamp else (digest,)


def words_file(place: Path) -> MetadataFile:
    """Return the words that were read in pictures, by digest, as in ``[{"words": "Exit"}]``."""
    return MetadataFile(place, WORDS)


class MetadataFile:
    """The metadata that the gallery in ``place`` keeps."""

    def __init__(self, place: Path, name: str = METADATA) -> None:
        self._path = place / name
        self._is_whole = False

    @property
    def nbytes(self) -> int:
        """What the file takes on disk."""
        return self._path.stat().st_size if self._path.exists() else 0

    def add(self, sources: Mapping[str, list[dict[str, Any]]], lock: WriterLock) -> None:
        """Keep what was read; on return it is on disk.

        Raises
        ------
        ArtifactError
            If the gallery was removed meanwhile.
        UnwritableError
            If the disk refuses.
        """
        with lock.writing():
            self._cut_torn_end()
            append_line(self._path, {"metadata": sources})

    def read(self, keys: Collection[str]) -> Sources:
        """Return what is kept by some keys; a line that is damaged says nothing.

        Raises
        ------
        ArtifactError
            If the file cannot be read.
        """
        found: Sources = {}
        wanted = set(keys)
        lines = self._lines(last_lines)  # what is asked for is mostly new, and what is new counts
        while wanted and (line := next(lines, _END)) is not _END:
            kept = (line or {}).get("metadata", {})
            found.update((key, kept[key]) for key in kept.keys() & wanted)
            wanted.difference_update(kept)
        return found

    def damaged(self) -> int:
        """Return how many lines are not as they were written."""
        return sum(line is None for line in self._lines(each_line))

    def mend(self) -> None:
        """Take out what is damaged.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        if self._path.exists():
            mend_lines(self._path)

    def compact(self, live: Collection[str]) -> None:
        """Keep only what goes by ``live`` keys.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        if self._path.exists():
            items = iter(self.read(live).items())
            write_lines(self._path, iter(lambda: {"metadata": dict(islice(items, _LINE))}, _END))

    def _lines(
        self, reading: Callable[[Path], Iterator[dict[str, Any] | None]]
    ) -> Iterator[dict[str, Any] | None]:
        try:
            yield from reading(self._path)
        except FileNotFoundError:
            return
        except OSError as error:
            raise ArtifactError(f"{self._path} cannot be read: {error.strerror}.") from error

    def _cut_torn_end(self) -> None:
        """Take out what a crash left at the end, lest the next line go on with it."""
        if not self._is_whole and self._path.exists():
            with self._path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - 1))
                torn = file.read() not in (b"", b"\n")
            if torn:
                mend_lines(self._path)
        self._is_whole = True


_END: dict[str, Any] = {"metadata": {}}
