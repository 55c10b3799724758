"""A gallery: the pictures of one folder, and what is kept of them elsewhere.

::

    home/galleries/<folder's name>-<8 hex digits of its path>/
      gallery.json        the folder
      index.jsonl         its files, by path
      index-<…>.checkpoint  the same as arrays, of many files
      metadata.jsonl      what is written in and beside them: dates, cameras, places, words
      words.jsonl         words that were read in them, where that was asked for
      table-<…>.sqlite    a row a picture, made from these three
      features-<…>/       features by content, one store for each recipe and encoder
      vectors-<…>/        vectors by content, and packed parts, one store for each matcher

Nothing is ever written among the pictures. Readers take no lock and write nothing; writers
take turns. What damage takes of these files is made again from the others, or the pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visita.brief import counted
from visita.data.locations import in_bucket, location
from visita.data.pictures import Exclusion, printable
from visita.encoders.contract import PictureEncoder
from visita.errors import ArtifactError, DamagedError, DataError, UnwritableError
from visita.gallery.attempt import Attempt
from visita.gallery.catalog import Catalog
from visita.gallery.listing import galleries_home, gallery_name, read_card
from visita.gallery.mentions import Fields, mentions
from visita.gallery.metadata import words_file
from visita.gallery.reading import Reading, read_here
from visita.gallery.snapshot import Snapshot, Vectors
from visita.gallery.stores import read_vectors
from visita.gallery.survey import Walk, root_of
from visita.gallery.sync import ProgressBar, SyncReport
from visita.gallery.table import is_in_step, open_table, undescribed
from visita.progress import Advance, say, say_once
from visita.store.lock import WriterLock
from visita.types import Matcher

if TYPE_CHECKING:
    from visita.gallery.filter import Filter

_GLANCE = 1.0
"""Seconds between two looks at whether a gallery that is being made holds something."""


class StoredGallery:
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
    def open(cls, folder: str | Path, *, home: str | Path | None = None) -> StoredGallery:
        """Return the gallery of a folder, or of ``s3://bucket/prefix``; nothing is read yet.

        Raises
        ------
        DataError
            If there is no such folder.
        ArtifactError
            If the gallery was written by a newer visita.
        """
        if in_bucket(folder):
            bucket = location(folder)
            return cls(bucket, galleries_home(home) / gallery_name(bucket))
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
        read: Reading = read_here,
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
        read
            Where pictures are read.

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
        attempt = self._attempt(matcher, encoder, exclude=exclude, progress=progress, tabled=True)
        attempt = replace(attempt, read=read)
        report = attempt.look().report
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
        tabled: bool = False,
    ) -> tuple[SyncReport, Snapshot]:
        """Bring the gallery in step as far as a reader can who does not want to wait.

        As ``sync``. But if another process is writing, or nothing can be written, what is new
        stays unread and the report says why; unless there is nothing at all to be searched.

        Parameters
        ----------
        whole
            Look for damage in what is beside the vectors too.
        tabled
            What is written about the pictures is asked for too, as ``sync`` does.

        Returns
        -------
        report : SyncReport
        snapshot : Snapshot
            What there is to be searched now.
        """
        attempt = self._attempt(
            matcher, encoder, exclude=exclude, progress=progress, whole=whole, tabled=tabled
        )
        look = attempt.look()
        if not look.report.in_step:
            try:
                lock = attempt.lock()
                if lock.try_acquire() or self._waits_for_a_first(lock, matcher):
                    report = attempt.write(lock)
                    key = matcher.fingerprint()
                    return report, self.snapshot(key, exclude=exclude, whole=whole)
                look = attempt.put_off(f"{lock.holder()} is reading them")
            except UnwritableError as error:
                if not self._holds_something(matcher):
                    raise
                look = attempt.put_off(error.reason)
        return look.report, self._snapshot(look.catalog, look.vectors, attempt.walk.excluded)

    def _attempt(
        self,
        matcher: Matcher,
        encoder: PictureEncoder,
        *,
        exclude: Iterable[str],
        progress: ProgressBar | None,
        whole: bool = False,
        tabled: bool = False,
    ) -> Attempt:
        walk = Walk.through(self.folder, exclude)
        return Attempt(self.path, walk, matcher, encoder, progress or _no_bar, whole, tabled)

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
        catalog = Catalog(self.path)
        # Opened after the catalogue was read, so it has what the catalogue knows.
        vectors = read_vectors(self.path, matcher_fingerprint, whole=whole) if catalog else None
        return self._snapshot(catalog, vectors, Exclusion(exclude, self.folder))

    def passing(self, snapshot: Snapshot, where: Filter) -> Snapshot:
        """Return the pictures of a snapshot that pass a filter, with their dates.

        Raises
        ------
        ConfigError, DataError
            If it cannot be used; see ``Filter.passing``.
        """
        with open_table(self.path) as connection:
            dates = where.passing(connection, self.folder)
            if unread := undescribed(connection):
                say_once(f"{self}: metadata of {counted(unread, 'picture')} is not read yet")
        start = len(root_of(self.folder))
        passed = ((row, path[start:]) for row, path in enumerate(snapshot.paths))
        found = {row: dates[path] for row, path in passed if path in dates}
        return snapshot.only(list(found), list(found.values()))

    def mentions(self, snapshot: Snapshot, words: Iterable[str]) -> dict[int, Fields]:
        """Return what is written of pictures that have any of some words, by row.

        None if no words were read in pictures, as only these tell, or if the table is not in step:
        a search makes no table for it.
        """
        if not words_file(self.path).nbytes or not is_in_step(self.path):
            return {}
        with open_table(self.path) as connection:
            found = mentions(connection, words)
        root = root_of(self.folder)
        rows = {snapshot.row_of(root + path): fields for path, fields in found.items()}
        return {row: fields for row, fields in rows.items() if row is not None}

    def _snapshot(self, catalog: Catalog, vectors: Vectors | None, excluded: Exclusion) -> Snapshot:
        if vectors is None:
            raise DataError(f"{self} is not indexed yet: synchronize it first.")
        shown = catalog.shown()
        if excluded:
            shown = shown.only(np.array([not excluded.hides(path) for path in shown.paths]))
        return Snapshot.of(root_of(self.folder), shown, vectors)

    def __str__(self) -> str:
        return printable(str(self.folder))


@contextmanager
def _no_bar(_label: str, _total: int) -> Iterator[Advance]:
    yield lambda _done: None
