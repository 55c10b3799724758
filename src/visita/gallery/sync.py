"""Bringing a gallery in step with its folder: commit what is new, note what is gone.

Features and vectors are stored by the content's digest, so a renamed or copied picture
costs nothing. They are written before the catalogue names the file, as what is written about
it is: a run that is killed goes on where it was, and no reader sees a picture without its vector.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from visita.brief import Brief
from visita.data.pictures import Found, PictureFile, printable
from visita.encoders.contract import PictureEncoder
from visita.gallery.catalog import Catalog
from visita.gallery.entries import Entry
from visita.gallery.metadata import MetadataFile
from visita.gallery.reading import Outcome, Part, Reader, Reading
from visita.gallery.stores import Stores
from visita.gallery.survey import Survey, decoder_versions, unreadable
from visita.progress import Advance
from visita.store.lock import WriterLock
from visita.types import Skipped

ProgressBar = Callable[[str, int], AbstractContextManager[Advance]]
"""``visita.progress.bar`` or the like: from a label and the number of items to ``Advance``."""


@dataclass(frozen=True, slots=True, repr=False)
class SyncReport(Brief):
    """What a sync found and did, in numbers of files.

    Attributes
    ----------
    added, changed, renamed, removed, unchanged : int
        Against the last sync; a renamed file has the content of one that is gone.
    unreadable : tuple of Skipped
        Files that could not be decoded before, and why; they are tried again once they change.
    skipped : tuple of Skipped
        Files and folders that could not be read now, and why.
    seconds : float
        Time taken.
    other_kinds, left_out : mapping
        How many files of kinds that are not read and folders of systems there are; see ``Found``.
    unmatched : tuple of str
        Patterns of what to exclude that matched nothing.
    unread : int
        Files that are new or changed and were left for a later sync.
    reason : str
        Why they were.
    in_step : bool
        Whether the gallery is in step with the folder but for these.
    """

    added: int
    changed: int
    renamed: int
    removed: int
    unchanged: int
    unreadable: tuple[Skipped, ...]
    skipped: tuple[Skipped, ...]
    seconds: float
    other_kinds: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()
    unread: int = 0
    reason: str = ""
    in_step: bool = True

    @property
    def broken(self) -> int:
        """How many files are unreadable."""
        return len(self.unreadable)


class Sync:
    """One run over the files that were found, given by their paths relative to the folder.

    ``catalog``, ``metadata`` and ``stores`` may be written to under ``lock``.
    """

    def __init__(
        self,
        files: Mapping[str, PictureFile],
        found: Survey,
        catalog: Catalog,
        metadata: MetadataFile,
        stores: Stores,
        lock: WriterLock,
    ) -> None:
        self._files = files
        self._found = found
        self._catalog = catalog
        self._metadata = metadata
        self._stores = stores
        self._lock = lock
        self._decoder = decoder_versions()
        self._known = catalog.entries.copy()
        lost = [path for path in self._known if path not in files]
        self._lost_digests = Counter(self._known[path].digest for path in lost)
        self._counts: Counter[str] = Counter()
        self._skipped: list[Skipped] = []

    def run(self, read: Reading, encoder: PictureEncoder, progress: ProgressBar) -> None:
        """Encode what is new and bring the stores and the catalogue up to date."""
        survey = self._found
        if survey.changes or survey.expired:
            self._catalog.update(survey.changes, survey.expired, self._lock)
        if survey.outdated:
            with progress("Reading pictures", len(survey.outdated)) as advance:
                self._advance = advance
                read(self._files, survey.outdated, encoder, self._stores, self._commit)
        # What is in no entry is of no use, unless entries were lost.
        if (survey.outdated or survey.expired) and self._catalog.is_whole:
            self._stores.drop_orphans(self._catalog.entries.digests())

    def describe(self, paths: Iterable[str], progress: ProgressBar) -> None:
        """Read what is written about pictures that are known, and nothing else of them."""
        entries = self._catalog.entries
        known = {p: entries[p].digest for p in paths if p in self._files and p in entries}
        if not known:
            return
        with progress("Reading metadata", len(known)) as advance:
            self._advance = advance
            Reader(self._files, (), self._commit_described).describe(known)

    def report(self, seen: Found, seconds: float) -> SyncReport:
        """Return what became of the files, with what else was ``seen`` in the folder."""
        count = self._counts
        return SyncReport(
            added=count["added"],
            changed=count["changed"],
            renamed=count["renamed"],
            removed=max(0, len(self._found.gone) - count["renamed"]),
            unchanged=count["unchanged"] + self._found.current,
            unreadable=unreadable(self._found, self._files, self._known),
            skipped=(*seen.skipped, *self._skipped),
            seconds=seconds,
            other_kinds=dict(seen.other_kinds),
            left_out=dict(seen.left_out),
            unmatched=seen.unmatched,
        )

    def _commit(self, part: Part) -> None:
        """Keep what was read: features first, so that no entry names a content without them."""
        new = [row for row, digest in enumerate(part.digests) if digest not in self._stores]
        if new:
            columns = {name: column[new] for name, column in part.columns.items()}
            self._stores.add([part.digests[row] for row in new], columns)
        settled = {outcome.path: self._settled(outcome) for outcome in part.outcomes}
        self._write(part, {path: entry for path, entry in settled.items() if entry})

    def _commit_described(self, part: Part) -> None:
        entries = self._catalog.entries
        self._write(
            part, {o.path: entries[o.path]._replace(described=o.described) for o in part.outcomes}
        )

    def _write(self, part: Part, entries: Mapping[str, Entry]) -> None:
        self._metadata.add(part.sources, self._lock)
        self._catalog.update(entries, (), self._lock)
        self._advance(len(part.outcomes))

    def _settled(self, outcome: Outcome) -> Entry | None:
        path, digest, described, error, passing = outcome
        if passing is not None:
            return self._put_off(path, passing)
        file = self._files[path]
        decoder = None if error is None else self._decoder
        if error is not None:
            self._skipped.append(Skipped(printable(str(file.path)), error))
        else:
            self._counts[self._news(path, digest)] += 1
        return Entry(
            file.size, file.mtime_ns, file.inode, digest, error, decoder, described=described
        )

    def _news(self, path: str, digest: str) -> str:
        entry = self._known.get(path)
        if entry is not None:
            return "unchanged" if entry.digest == digest else "changed"
        if self._lost_digests[digest]:
            self._lost_digests[digest] -= 1
            return "renamed"
        return "added"

    def _put_off(self, path: str, reason: str) -> Entry | None:
        """Leave a file for the next sync; what was known of it is kept, and not shown."""
        self._skipped.append(Skipped(printable(str(self._files[path].path)), reason, passing=True))
        entry = self._known.get(path)
        return entry and entry._replace(gone=entry.gone or int(time.time()))
