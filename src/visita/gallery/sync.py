"""Bringing a gallery in step with its folder: read what is new, note what is gone.

Features and vectors are stored by the content's digest, so a renamed or copied picture
costs nothing. They are written before the catalogue names the file, as what is written about
it is: a run that is killed goes on where it was, and no reader sees a picture without its vector.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from visita.brief import Brief
from visita.data.pictures import Found, PictureFile, printable
from visita.encoders.contract import EncodedBatch, PictureEncoder
from visita.errors import PassingError, PictureError
from visita.gallery.catalog import Catalog, Entry
from visita.gallery.metadata import MetadataFile, Sources, describe, stamp_of
from visita.gallery.stores import Stores
from visita.gallery.survey import (
    CHANGED,
    Survey,
    can_be_read,
    decoder_versions,
    digest_of,
    is_as_found,
    unreadable,
)
from visita.progress import Advance
from visita.store.lock import WriterLock
from visita.types import Skipped

ProgressBar = Callable[[str, int], AbstractContextManager[Advance]]
"""``visita.progress.bar`` or the like: from a label and the number of items to ``Advance``."""

_FLUSH = 1000


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
        self._known = dict(catalog.entries)
        lost = [path for path in self._known if path not in files]
        self._lost_digests = Counter(self._known[path].digest for path in lost)
        self._sent: dict[str, str] = {}  # digest → path of the file that is being encoded
        self._copies: list[tuple[str, str]] = []  # path, digest of others like it
        self._broken: dict[str, str] = {}  # digest → why it is no picture
        self._passing: dict[str, str] = {}  # digest → why it cannot be read now
        self._settled: dict[str, Entry] = {}  # yet to be written to the catalogue
        self._sources: Sources = {}  # yet to be written before it
        self._read = 0  # files since the last flush
        self._counts: Counter[str] = Counter()
        self._skipped: list[Skipped] = []

    def run(self, encoder: PictureEncoder, progress: ProgressBar) -> None:
        """Encode what is new and bring the stores and the catalogue up to date."""
        survey = self._found
        if survey.changes or survey.expired:
            self._catalog.update(survey.changes, survey.expired, self._lock)
        if survey.outdated:
            with progress("Reading pictures", len(survey.outdated)) as advance:
                self._advance = advance
                for batch in encoder.encode(self._unknown(survey.outdated)):
                    self._commit(batch)
                self._settle_copies()
        # What is in no entry is of no use, unless entries were lost.
        if (survey.outdated or survey.expired) and self._catalog.is_whole:
            self._stores.drop_orphans({entry.digest for entry in self._catalog.entries.values()})

    def describe(self, paths: Iterable[str], progress: ProgressBar) -> None:
        """Read what is written about pictures that are known, and nothing else of them."""
        known = [path for path in paths if path in self._files and path in self._catalog.entries]
        if not known:
            return
        with progress("Reading metadata", len(known)) as advance:
            self._advance = advance
            for path in known:
                entry = self._catalog.entries[path]
                self._settled[path] = replace(entry, described=self._described(path, entry.digest))
                self._read += 1
                if self._read >= _FLUSH:
                    self._flush()
            self._flush()

    def report(self, seen: Found, seconds: float) -> SyncReport:
        """Return what became of the files, with what else was ``seen`` in the folder."""
        count = self._counts
        return SyncReport(
            added=count["added"],
            changed=count["changed"],
            renamed=count["renamed"],
            removed=max(0, len(self._found.gone) - count["renamed"]),
            unchanged=count["unchanged"] + len(self._found.current),
            unreadable=unreadable(self._found, self._files, self._known),
            skipped=(*seen.skipped, *self._skipped),
            seconds=seconds,
            other_kinds=dict(seen.other_kinds),
            left_out=dict(seen.left_out),
            unmatched=seen.unmatched,
        )

    def _unknown(self, outdated: Iterable[str]) -> Iterator[tuple[str, Path]]:
        for path in outdated:
            try:
                digest = digest_of(self._files[path])
            except PictureError as error:
                self._put_off(path, str(error))
                continue
            if digest in self._stores or digest in self._broken:
                self._settle(path, digest)
            elif digest in self._sent:
                self._copies.append((path, digest))
            else:
                self._sent[digest] = path
                yield digest, self._files[path].path
            if self._read >= _FLUSH:
                self._flush()

    def _commit(self, batch: EncodedBatch) -> None:
        paths = {digest: self._sent.pop(digest) for digest in batch.keys}
        intact = [row for row, path in enumerate(paths.values()) if is_as_found(self._files[path])]
        if intact:
            columns = {name: column[intact] for name, column in batch.columns.items()}
            self._stores.add([batch.keys[row] for row in intact], columns)
        for skipped in batch.skipped:
            paths[skipped.item] = self._sent.pop(skipped.item)
            self._judge(skipped, self._files[paths[skipped.item]])
        for digest, path in paths.items():
            self._settle_or_put_off(path, digest)
        self._flush()

    def _judge(self, skipped: Skipped, file: PictureFile) -> None:
        """Tell a fault of the content, which stays with it, from one of the moment."""
        if not skipped.passing and can_be_read(file, skipped.item):
            self._broken[skipped.item] = skipped.reason
        elif is_as_found(file):
            self._passing[skipped.item] = f"{skipped.reason}; it is tried again at the next sync"

    def _settle_copies(self) -> None:
        for path, digest in self._copies:
            self._settle_or_put_off(path, digest)
        for path in self._sent.values():
            self._put_off(path, "was left out by the encoder, which is a fault of the encoder")
        self._flush()

    def _settle_or_put_off(self, path: str, digest: str) -> None:
        if digest in self._stores or digest in self._broken:
            self._settle(path, digest)
        else:
            self._put_off(path, self._passing.get(digest, CHANGED))

    def _settle(self, path: str, digest: str) -> None:
        file, error = self._files[path], self._broken.get(digest)
        decoder = None if error is None else self._decoder
        described = None if error else self._described(path, digest)
        self._settled[path] = Entry(
            file.size, file.mtime_ns, file.inode, digest, error, decoder, described=described
        )
        self._read += 1
        if error is not None:
            self._skipped.append(Skipped(printable(str(file.path)), error))
        else:
            self._counts[self._news(path, digest)] += 1

    def _described(self, path: str, digest: str) -> str | None:
        """Read what is written about a picture; None if that has to be tried again."""
        file = self._files[path]
        try:
            sources = describe(path, digest, file)
        except PassingError:
            return None
        if not is_as_found(file):
            return None
        self._sources |= sources
        return stamp_of(path, file)

    def _news(self, path: str, digest: str) -> str:
        entry = self._known.get(path)
        if entry is not None:
            return "unchanged" if entry.digest == digest else "changed"
        if self._lost_digests[digest]:
            self._lost_digests[digest] -= 1
            return "renamed"
        return "added"

    def _put_off(self, path: str, reason: str) -> None:
        """Leave a file for the next sync; what was known of it is kept, and not shown."""
        entry = self._known.get(path)
        if entry is not None:
            self._settled[path] = replace(entry, gone=entry.gone or int(time.time()))
        self._read += 1
        self._skipped.append(Skipped(printable(str(self._files[path].path)), reason, passing=True))

    def _flush(self) -> None:
        if self._read:
            self._metadata.add(self._sources, self._lock)
            self._catalog.update(self._settled, (), self._lock)
            self._advance(self._read)
            self._settled, self._sources, self._read = {}, {}, 0
