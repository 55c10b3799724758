"""A gallery: the pictures of one folder, and what is kept of them elsewhere.

::

    home/galleries/<folder's name>-<8 hex digits of its path>/
      gallery.json        the folder
      index.jsonl         its files, by path
      features-<…>/       features by content, one store for each recipe and encoder
      vectors-<…>/        vectors by content, and packed parts, one store for each matcher

Nothing is ever written among the pictures. Readers take no lock and write nothing; writers
take turns. What damage takes of these files is made again from the others, or the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from visita.brief import counted
from visita.data.pictures import Exclusion, printable
from visita.encoders.contract import PictureEncoder
from visita.errors import ArtifactError, DamagedError, DataError, UnwritableError
from visita.gallery.attempt import Attempt
from visita.gallery.catalog import Catalog
from visita.gallery.listing import galleries_home, gallery_name, read_card
from visita.gallery.snapshot import PARTS, VECTOR, Parts, Snapshot
from visita.gallery.stores import read_vectors
from visita.gallery.survey import Walk, root_of
from visita.gallery.sync import ProgressBar, SyncReport
from visita.progress import Advance, say, say_once
from visita.store.lock import WriterLock
from visita.types import Matcher

_GLANCE = 1.0
"""Seconds between two looks at whether a gallery that is being made holds something."""


class Gallery:
    """The pictures of one folder; see ``open``.

    Attributes
    ----------
    folder : Path
        Where the pictures are, absolute and without links.
    path : Path
        Where the gallery keeps what it knows of them.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder = folder
        self.path = path

    @classmethod
    def open(cls, folder: str | Path, *, home: str | Path | None = None) -> Gallery:
        """Return the gallery of a folder; nothing is read or written yet.

        Raises
        ------
        DataError
            If there is no such folder.
        ArtifactError
            If the gallery was written by a newer visita.
        """
        try:
            real = Path(folder).resolve()
        except (OSError, RuntimeError) as error:  # a loop of links
            raise DataError(f"{printable(str(folder))} cannot be followed: {error}.") from error
        if real.is_file():
            raise DataError(f"{printable(str(real))} is a file: open the folder that it is in.")
        if not real.is_dir():
            raise DataError(
                f"{printable(str(real))} is not a folder. If it was moved, open it where it is now."
            )
        path = galleries_home(home) / gallery_name(real)
        with suppress(DamagedError):
            read_card(path)
        return cls(real, path)

    def sync(
        self,
        matcher: Matcher,
        encoder: PictureEncoder,
        *,
        exclude: Iterable[str] = (),
        progress: ProgressBar | None = None,
    ) -> SyncReport:
        """Bring the gallery in step with its folder, once no other process does.

        Only new or changed files (by size, time of change and inode) are read, and only content
        that is new is encoded; for another matcher on the same features nothing is. It can
        be killed at any moment and goes on where it was. Readers are not disturbed. What is
        gone is kept for ``survey.KEPT_DAYS`` days, as it may come back.

        Parameters
        ----------
        exclude
            Glob patterns of files and folders to leave out; see ``find_pictures``.
        progress
            Shows how far it is: ``visita.progress.bar`` or the like.

        Raises
        ------
        DataError
            If the folder has no pictures, or none that can be read.
        MismatchError
            If the encoder does not compute what the matcher needs.
        UnwritableError
            If what is kept cannot be written.
        ArtifactError
            If the gallery is removed meanwhile.
        """
        attempt = self._attempt(matcher, encoder, exclude=exclude, progress=progress)
        report = attempt.look()
        if report.in_step:
            return report
        lock = attempt.lock()
        lock.acquire()
        return attempt.write(lock)

    def refresh(
        self,
        matcher: Matcher,
        encoder: PictureEncoder,
        *,
        exclude: Iterable[str] = (),
        progress: ProgressBar | None = None,
        whole: bool = False,
    ) -> SyncReport:
        """Bring the gallery in step as far as a reader can who does not want to wait.

        As ``sync``. But if another process is writing, or nothing can be written, what is new
        stays unread and the report says why; unless there is nothing at all to be searched.

        Parameters
        ----------
        whole
            Look for damage in what is beside the vectors too.
        """
        attempt = self._attempt(matcher, encoder, exclude=exclude, progress=progress, whole=whole)
        report = attempt.look()
        if report.in_step:
            return report
        try:
            lock = attempt.lock()
            if lock.try_acquire() or self._waits_for_a_first(lock, matcher):
                return attempt.write(lock)
        except UnwritableError as error:
            if not self._holds_something(matcher):
                raise
            return attempt.put_off(error.reason)
        return attempt.put_off(f"{lock.holder()} is reading them")

    def _attempt(
        self,
        matcher: Matcher,
        encoder: PictureEncoder,
        *,
        exclude: Iterable[str],
        progress: ProgressBar | None,
        whole: bool = False,
    ) -> Attempt:
        walk = Walk.through(self.folder, exclude)
        return Attempt(self.path, walk, matcher, encoder, progress or _no_bar, whole)

    def _waits_for_a_first(self, lock: WriterLock, matcher: Matcher) -> bool:
        """Wait until there is a first picture to be searched, or else for the lock."""
        if self._holds_something(matcher):
            return False
        say(f"{self}: waiting for {lock.holder()}, which reads the first pictures")
        while not lock.try_acquire(_GLANCE):
            if self._holds_something(matcher):
                return False
        return True

    def _holds_something(self, matcher: Matcher) -> bool:
        try:
            return len(self.snapshot(matcher.fingerprint())) > 0
        except (DataError, ArtifactError):
            return False

    def snapshot(
        self, matcher_fingerprint: str, *, exclude: Iterable[str] = (), whole: bool = False
    ) -> Snapshot:
        """Return what is known now of the pictures that one matcher has a vector for.

        Parameters
        ----------
        exclude
            Glob patterns of files and folders to leave out.
        whole
            Leave out pictures with damage beside their vectors too.

        Raises
        ------
        DataError
            If the gallery was never synchronized with this matcher.
        """
        entries = Catalog(self.path).entries
        if not entries:
            raise DataError(f"{self} is not indexed yet: synchronize it first.")
        # Opened after the catalogue was read, so it has what the catalogue knows.
        store = read_vectors(self.path, matcher_fingerprint)
        excluded = Exclusion(exclude, self.folder)
        known = {
            path: entry.digest
            for path, entry in sorted(entries.items())
            if entry.is_shown and entry.digest in store and not (excluded and excluded.hides(path))
        }
        damaged = set(store.damaged(known.values(), None if whole else [VECTOR]))
        if damaged:
            left_out = counted(len(damaged), "picture")
            say_once(f"{store.folder} is damaged: {left_out} left out")
            known = {path: digest for path, digest in known.items() if digest not in damaged}
        rows = np.array([store.row(digest) for digest in known.values()], np.int64)
        vectors: Any = store.column(VECTOR)[rows]
        vectors.flags.writeable = False
        parts = Parts(store, rows) if PARTS in store.columns else None
        root = root_of(self.folder)
        return Snapshot([root + path for path in known], vectors, list(known.values()), parts)

    def __str__(self) -> str:
        return printable(str(self.folder))


@contextmanager
def _no_bar(_label: str, _total: int) -> Iterator[Advance]:
    yield lambda _done: None
