"""Looking after a gallery: is all of it as it was written, and what can be let go?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from visita.brief import counted
from visita.errors import ArtifactError, DamagedError, UnwritableError
from visita.gallery.catalog import INDEX, Catalog
from visita.gallery.discarding import discard
from visita.gallery.inverted_files import damaged_inverted
from visita.gallery.listing import CARD, read_card
from visita.gallery.metadata import METADATA, WORDS, MetadataFile, keys_of
from visita.gallery.table import damaged_tables, write_table
from visita.store.checkpoint import damaged_checkpoints, drop_checkpoints, has_checkpoint
from visita.store.journal import is_damaged
from visita.store.lock import WriterLock
from visita.store.store import FeatureStore


@dataclass
class Verdict:
    """What is found of one gallery.

    Attributes
    ----------
    name : str
    rows : int
        Rows of features and vectors that were read.
    bytes : int
        What they take on disk.
    damaged : list of str
        What is not as it was written.
    kept_from : str
        Why what is damaged could not be taken out now; empty if it was.
    """

    name: str
    rows: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    kept_from: str = ""


def verify_gallery(path: Path) -> Verdict:
    """Read all that a gallery keeps, and take out what is not as it was written.

    The next search makes that again, from the rest or from the pictures.
    """
    verdict = Verdict(path.name)
    verdict.damaged += damaged_checkpoints(path)
    for lines in path.rglob("*.jsonl"):
        if has_checkpoint(lines) and is_damaged(lines):
            drop_checkpoints(lines)  # lest what reads it not notice
    try:
        read_card(path)
    except DamagedError:
        verdict.damaged.append(CARD)
    if not Catalog(path).is_whole:
        verdict.damaged.append(INDEX)
    verdict.damaged += [*damaged_tables(path), *damaged_inverted(path)]
    for name in (METADATA, WORDS):
        _verify_metadata(path, name, verdict)
    for folder in store_folders(path):
        _verify(folder, verdict)
    return verdict


def _verify_metadata(path: Path, name: str, verdict: Verdict) -> None:
    metadata = MetadataFile(path, name)
    if not (damaged := metadata.damaged()):
        return
    verdict.damaged.append(f"{name}: {counted(damaged, 'line')}")
    lock = WriterLock(path)
    try:
        lock.acquire()
        metadata.mend()
    except UnwritableError as error:
        verdict.kept_from = error.reason
    finally:
        lock.release()


def _verify(folder: Path, verdict: Verdict) -> None:
    try:
        store = FeatureStore.open(folder)
    except DamagedError as error:
        verdict.damaged.append(str(error))
        with suppress(OSError):
            discard(folder)
        return
    verdict.rows += len(store)
    verdict.bytes += store.nbytes
    damaged = store.damaged()
    if not store.is_sound:
        verdict.damaged.append(folder.name)
    elif damaged:
        verdict.damaged.append(f"{folder.name}: {counted(len(damaged), 'row')}")
    else:
        return
    try:
        with FeatureStore.open(folder, write=True) as writer:
            writer.drop(writer.damaged())
    except UnwritableError as error:
        verdict.kept_from = error.reason


def compact_gallery(path: Path) -> int:
    """Let go of what a gallery keeps of pictures that are gone; return the bytes of their rows.

    Waits until no other process writes.

    Raises
    ------
    ArtifactError
        If the catalogue is damaged, so that nobody knows what is gone.
    UnwritableError
        If the disk has no room for the rest, which is copied; nothing is let go then.
    """
    lock = WriterLock(path)
    lock.acquire()
    try:
        catalog = Catalog(path)
        if not catalog.is_whole:
            raise ArtifactError(
                f"{path / INDEX} is damaged: bring the gallery in step with 'visita index' first."
            )
        gone = [name for name, entry in catalog.entries.items() if entry.gone is not None]
        catalog.mend()
        catalog.update({}, gone, lock)
        live = catalog.entries.digests()
        freed = sum(_compact(folder, live) for folder in store_folders(path))
        freed += _compact_metadata(path, catalog, lock)
        with lock.writing():
            catalog.checkpoint()
        return freed
    finally:
        lock.release()


def _compact_metadata(path: Path, catalog: Catalog, lock: WriterLock) -> int:
    files, entries = [MetadataFile(path, name) for name in (METADATA, WORDS)], catalog.entries
    before = sum(file.nbytes for file in files)
    live = {key for e in entries.values() for key in keys_of(e.digest, e.described or "")}
    for file in files:
        file.compact(live)
    write_table(path, catalog.entries, lock)
    return before - sum(file.nbytes for file in files)


def _compact(folder: Path, live: set[str]) -> int:
    with FeatureStore.open(folder, write=True) as store:
        before = store.nbytes
        if not live.issuperset(store.ids):
            store.compact(live)
        store.checkpoint()
        return before - store.nbytes


def store_folders(path: Path) -> Iterator[Path]:
    """Yield the folders of the stores of a gallery."""
    for kind in ("features-*", "vectors-*"):
        yield from sorted(path.glob(kind))
