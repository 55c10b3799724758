"""One attempt to bring a gallery in step with its folder: look, then write what has to be."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from visita.brief import counted
from visita.data.pictures import printable
from visita.durable import make_folder
from visita.encoders.contract import PictureEncoder
from visita.errors import ArtifactError, DamagedError, DataError, UnwritableError
from visita.gallery import table
from visita.gallery.catalog import Catalog
from visita.gallery.discarding import remove_leftovers
from visita.gallery.inverted_files import is_wanting
from visita.gallery.listing import FORMAT, Card, adopt_moved, read_card, write_card
from visita.gallery.metadata import MetadataFile
from visita.gallery.reading import Reading, read_here
from visita.gallery.snapshot import Vectors
from visita.gallery.stores import (
    made_by_of,
    open_stores,
    read_vectors,
    vectors_made_by,
)
from visita.gallery.survey import Survey, Walk, decoder_versions, survey, unreadable
from visita.gallery.sync import ProgressBar, Sync, SyncReport
from visita.progress import say
from visita.store.lock import WriterLock
from visita.types import Matcher


class Look(NamedTuple):
    """What a folder was found to need, and what was read of its gallery to tell."""

    report: SyncReport
    catalog: Catalog
    vectors: Vectors | None
    """None if there are none that can be read."""


@dataclass(frozen=True)
class Attempt:
    """What is to be brought in step with what.

    Attributes
    ----------
    place : Path
        Where the gallery keeps what it knows.
    walk : Walk
        The folder's files.
    whole : bool
        Whether to look for damage in what is beside the vectors too.
    tabled : bool
        Whether what is written about the pictures is asked for too, in the table.
    read : Reading
        Where pictures are read.
    started : float
        When, by the clock of ``time.monotonic``.
    """

    place: Path
    walk: Walk
    matcher: Matcher
    encoder: PictureEncoder
    progress: ProgressBar
    whole: bool = False
    tabled: bool = False
    read: Reading = read_here
    started: float = field(default_factory=time.monotonic)

    def look(self) -> Look:
        """Return what there is to do, writing nothing; ``unread`` counts what is to be read.

        Raises
        ------
        DataError
            If nothing is to be read, and no picture can be used.
        """
        catalog = Catalog(self.place)
        # Opened after the catalogue was read, so it has what the catalogue knows.
        vectors = self._vectors()
        suited = vectors and vectors_made_by(made_by_of(self.encoder), vectors, self.matcher)
        stored = vectors.rows if vectors and suited else {}
        surveyed = survey(
            self.walk.files, catalog.entries, stored, decoder_versions(), self.walk.hides
        )
        report = SyncReport(
            added=0,
            changed=0,
            renamed=0,
            removed=0,
            unchanged=surveyed.current,
            unreadable=unreadable(surveyed, self.walk.files, catalog.entries),
            skipped=tuple(self.walk.found.skipped),
            seconds=self._seconds(),
            unread=len(surveyed.outdated),
            in_step=self._is_in_step(catalog, vectors, surveyed),
            other_kinds=dict(self.walk.found.other_kinds),
            left_out=dict(self.walk.found.left_out),
            unmatched=self.walk.found.unmatched,
        )
        return Look(self._checked(report), catalog, vectors)

    def _vectors(self) -> Vectors | None:
        with suppress(DataError):
            return read_vectors(self.place, self.matcher.fingerprint(), whole=self.whole)
        return None

    def _is_in_step(self, catalog: Catalog, vectors: Vectors | None, surveyed: Survey) -> bool:
        work = bool(surveyed.outdated or surveyed.changes or surveyed.expired)
        if self.tabled:
            work |= bool(surveyed.undescribed) or not table.is_in_step(self.place)
            work |= vectors is not None and is_wanting(vectors.store, vectors.kept)
            work |= not (catalog.is_quick and (vectors is None or vectors.store.is_quick))
        return catalog.is_sound and not work and self._card_is_right()

    def _card_is_right(self) -> bool:
        try:
            return read_card(self.place) == Card(printable(str(self.walk.folder)), FORMAT)
        except DamagedError:
            return False

    def lock(self) -> WriterLock:
        """Return the right to write to the gallery, not held yet; its folder is made for it.

        Raises
        ------
        UnwritableError
            If it cannot be made.
        """
        adopt_moved(self.place, self.walk.folder, self.walk.files)
        with self._writing():
            make_folder(self.place)
        return WriterLock(self.place)

    def write(self, lock: WriterLock) -> SyncReport:
        """Bring the gallery in step under a lock, which is released at the end.

        Raises
        ------
        DataError
            If no picture can be used.
        MismatchError
            If the encoder does not compute what the matcher needs.
        UnwritableError
            If something cannot be written.
        ArtifactError
            If the gallery is removed meanwhile.
        """
        try:
            with self._writing(lock):
                remove_leftovers(self.place)
                if not self._card_is_right():
                    write_card(self.place, self.walk.folder)
                catalog = Catalog(self.place)
                before = table.made_from(self.place) if catalog.is_sound else ""
                catalog.mend()
            sync = self._synchronized(catalog, lock, table.Since(before, catalog.updated))
        except ArtifactError:
            lock.check()  # what was removed is missing, or cannot be written
            raise
        finally:
            lock.release()
        return self._checked(sync.report(self.walk.found, self._seconds()))

    def _synchronized(self, catalog: Catalog, lock: WriterLock, since: table.Since) -> Sync:
        with open_stores(self.place, self.matcher, self.encoder) as stores:
            stores.embed_stored(whole=self.whole)
            surveyed = survey(
                self.walk.files, catalog.entries, stores, decoder_versions(), self.walk.hides
            )
            metadata = MetadataFile(self.place)
            sync = Sync(self.walk.files, surveyed, catalog, metadata, stores, lock)
            sync.run(self.read, self.encoder, self.progress)
            with self._writing(lock):
                stores.keep_inverted(self.place)
                stores.checkpoint()
        if self.tabled:
            sync.describe(surveyed.undescribed, self.progress)
            if lost := table.write_table(self.place, catalog.entries, lock, since):
                sync.describe(lost, self.progress)
                table.write_table(self.place, catalog.entries, lock)
        with self._writing(lock):
            catalog.checkpoint()
        return sync

    @contextmanager
    def _writing(self, lock: WriterLock | None = None) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if lock:
                lock.check()
            reason = error.strerror or str(error)
            raise UnwritableError(
                f"{self.place} cannot be written ({reason}): make room, or choose another place "
                "with VISITA_HOME or --gallery.",
                reason,
            ) from error

    def _checked(self, report: SyncReport) -> SyncReport:
        usable = report.added + report.changed + report.renamed + report.unchanged
        if usable or report.unread:
            return report
        first = next(chain(report.skipped, report.unreadable))
        raise DataError(
            f"None of the {len(self.walk.files):,} pictures can be used. The first: "
            f"{first.item}: {first.reason}."
        )

    def put_off(self, reason: str) -> Look:
        """Say what could not be read now, and why, for a reader who goes on without."""
        look = self.look()
        if look.report.unread:
            where = printable(str(self.walk.folder))
            unread = counted(look.report.unread, "new or changed picture")
            say(f"{where}: {unread} left unread: {reason}")
        return look._replace(report=replace(look.report, reason=reason))

    def _seconds(self) -> float:
        return time.monotonic() - self.started
