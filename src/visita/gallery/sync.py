"""Bringing a gallery in step with its folder: read what is new, forget what is gone.

Features and vectors are stored by the content's digest, so a renamed or copied picture
costs nothing. They are written before the catalogue names the file: a run that is killed
goes on where it was, and no reader sees a picture without its vector.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from visita.data.pictures import Found, PictureFile, printable
from visita.errors import DataError, PictureError
from visita.features.contract import EncodedBatch, PictureEncoder
from visita.gallery.catalog import Catalog, Entry
from visita.gallery.content import CHANGED, decoder_versions, digest_of, is_as_found
from visita.gallery.stores import Stores
from visita.progress import Advance
from visita.types import Skipped

ProgressBar = Callable[[str, int], AbstractContextManager[Advance]]
"""``visita.progress.bar`` or the like: from a label and the number of items to ``Advance``."""

_FLUSH = 1000


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync found and did, in numbers of files.

    Attributes
    ----------
    added, changed, renamed, removed, unchanged : int
        Against the last sync; a renamed file has the content of one that is gone.
    broken : int
        Files that could not be decoded before; they are tried again once they change.
    skipped : tuple of Skipped
        Files and folders that could not be read now, and why.
    seconds : float
        Time taken.
    other_kinds, left_out : mapping
        How many files of kinds that are not read and folders of systems there are; see ``Found``.
    unmatched : tuple of str
        Patterns of what to exclude that matched nothing.
    """

    added: int
    changed: int
    renamed: int
    removed: int
    unchanged: int
    broken: int
    skipped: tuple[Skipped, ...]
    seconds: float
    other_kinds: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    unmatched: tuple[str, ...] = ()


class Sync:
    """One run over the files that were found, given by their paths relative to the folder."""

    def __init__(self, files: Mapping[str, PictureFile], catalog: Catalog, stores: Stores) -> None:
        self._files = files
        self._catalog = catalog
        self._stores = stores
        self._decoder = decoder_versions()
        self._known = catalog.entries()
        self._gone = [path for path in self._known if path not in files]
        self._gone_digests = Counter(self._known[path].digest for path in self._gone)
        self._sent: dict[str, str] = {}  # digest → path of the file that is being encoded
        self._copies: list[tuple[str, str]] = []  # path, digest of others like it
        self._broken: dict[str, str] = {}  # digest → why it is no picture
        self._settled: dict[str, Entry] = {}  # yet to be written to the catalogue
        self._dropped: list[str] = []  # yet to be removed from it
        self._counts: Counter[str] = Counter()
        self._skipped: list[Skipped] = []

    def run(self, encoder: PictureEncoder, progress: ProgressBar) -> None:
        """Encode what is new and bring the stores and the catalogue up to date."""
        self._catalog.update({}, remove=self._gone)
        self._stores.embed_stored()
        outdated = [path for path in self._files if not self._is_current(path)]
        if outdated:
            with progress("Reading pictures", len(outdated)) as advance:
                self._advance = advance
                for batch in encoder.encode(self._unknown(outdated)):
                    self._commit(batch)
                self._settle_copies()
        if outdated or self._gone:
            self._stores.drop_orphans(set(self._catalog.digests().values()))

    def report(self, found: Found, seconds: float) -> SyncReport:
        """Return what became of the files that were ``found``.

        Raises
        ------
        DataError
            If none of them is a picture that can be read.
        """
        count = self._counts
        if not count["unchanged"] + count["added"] + count["changed"] + count["renamed"]:
            known = ((path, self._known.get(path)) for path in self._files)
            before = (Skipped(path, entry.error) for path, entry in known if entry and entry.error)
            first = next(chain(self._skipped, before))
            raise DataError(
                f"None of the {len(self._files)} pictures can be used. The first: "
                f"{printable(first.item)}: {first.reason}."
            )
        return SyncReport(
            added=count["added"],
            changed=count["changed"],
            renamed=count["renamed"],
            removed=len(self._gone) - count["renamed"],
            unchanged=count["unchanged"],
            broken=count["broken"],
            skipped=(*found.skipped, *self._skipped),
            seconds=seconds,
            other_kinds=dict(found.other_kinds),
            left_out=dict(found.left_out),
            unmatched=found.unmatched,
        )

    def _is_current(self, path: str) -> bool:
        entry = self._known.get(path)
        if entry is None or not _same(entry, self._files[path]):
            return False
        if entry.error is not None:
            current = entry.decoder == self._decoder
            self._counts["broken"] += current
        else:
            current = entry.digest in self._stores
            self._counts["unchanged"] += current
        return current

    def _unknown(self, outdated: Iterable[str]) -> Iterator[tuple[str, Path]]:
        for path in outdated:
            try:
                digest = self._digest(path)
            except PictureError as error:
                self._drop(path, str(error))
                continue
            if digest in self._stores or digest in self._broken:
                self._settle(path, digest)
            elif digest in self._sent:
                self._copies.append((path, digest))
            else:
                self._sent[digest] = path
                yield digest, self._files[path].path
            if len(self._settled) >= _FLUSH:
                self._flush()

    def _digest(self, path: str) -> str:
        entry, file = self._known.get(path), self._files[path]
        return entry.digest if entry and _same(entry, file) else digest_of(file)

    def _commit(self, batch: EncodedBatch) -> None:
        paths = {digest: self._sent.pop(digest) for digest in batch.keys}
        intact = [row for row, path in enumerate(paths.values()) if is_as_found(self._files[path])]
        if intact:
            columns = {name: column[intact] for name, column in batch.columns.items()}
            self._stores.add([batch.keys[row] for row in intact], columns)
        for one in batch.skipped:
            paths[one.item] = self._sent.pop(one.item)
            if is_as_found(self._files[paths[one.item]]):
                self._broken[one.item] = one.reason
        for digest, path in paths.items():
            self._settle_or_drop(path, digest)
        self._flush()

    def _settle_copies(self) -> None:
        for path, digest in self._copies:
            self._settle_or_drop(path, digest)
        for path in self._sent.values():
            self._drop(path, "was left out by the encoder, which is a fault of the encoder")
        self._flush()

    def _settle_or_drop(self, path: str, digest: str) -> None:
        if digest in self._stores or digest in self._broken:
            self._settle(path, digest)
        else:
            self._drop(path, CHANGED)

    def _settle(self, path: str, digest: str) -> None:
        file, error = self._files[path], self._broken.get(digest)
        self._settled[path] = Entry(file.size, file.mtime_ns, digest, error, self._decoder)
        if error is not None:
            self._skipped.append(Skipped(printable(str(file.path)), error))
        else:
            self._counts[self._news(path, digest)] += 1

    def _news(self, path: str, digest: str) -> str:
        entry = self._known.get(path)
        if entry is not None:
            return "unchanged" if entry.digest == digest else "changed"
        if self._gone_digests[digest]:
            self._gone_digests[digest] -= 1
            return "renamed"
        return "added"

    def _drop(self, path: str, reason: str) -> None:
        self._dropped.append(path)
        self._skipped.append(Skipped(printable(str(self._files[path].path)), reason))

    def _flush(self) -> None:
        if not self._settled and not self._dropped:
            return
        self._catalog.update(self._settled, remove=self._dropped)
        self._advance(len(self._settled) + len(self._dropped))
        self._settled, self._dropped = {}, []


def _same(entry: Entry, file: PictureFile) -> bool:
    return (entry.size, entry.mtime_ns) == (file.size, file.mtime_ns)
