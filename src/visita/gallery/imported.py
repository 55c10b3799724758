"""A gallery from a Parquet file that ``exported`` wrote, of a folder that may lie elsewhere.

The file may be a stranger's: nothing that it says becomes a path of this machine but the names
of files below the folder, and those are looked at before they are shown.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from visita.data.buckets import downloaded
from visita.data.locations import ObjectPath
from visita.data.metadata.columns import CAPTION, cleaned, text, whole
from visita.data.pictures import printable
from visita.durable import make_folder
from visita.errors import ConfigError, DataError, extras_named
from visita.gallery.catalog import Catalog
from visita.gallery.columns import PARTS, VECTOR
from visita.gallery.entries import Entry
from visita.gallery.exported import ABOUT, FORMAT, KEPT
from visita.gallery.gallery import StoredGallery
from visita.gallery.listing import write_card
from visita.gallery.metadata import VERSION, MetadataFile, words_file
from visita.gallery.stores import vectors_folder
from visita.gallery.table import COLUMNS, write_table
from visita.store.lock import WriterLock
from visita.store.store import FeatureStore

_ROWS = 1000
_MOST_NUMBERS = 1_000_000
"""Of a row of vectors or parts."""
_MOST_MATCHERS = 20
_LATER = ("place", "words")
"""Columns that files of before have not."""
_FINGERPRINT = re.compile(r"[0-9a-f]{8,64}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def import_gallery(file: Path, gallery: StoredGallery) -> int:
    """Fill a gallery that keeps nothing yet, and return of how many pictures.

    ``file`` may be an object of a bucket, of which a copy is read.
    The next sync reads the files of the folder once to see that they are those, and encodes what
    is not among them.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    DataError
        If the file is none that visita wrote, or a row cannot be.
    ConfigError
        If the gallery keeps something.
    """
    if isinstance(file, ObjectPath):
        with downloaded(file) as copy:
            return import_gallery(copy, gallery)
    place = gallery.path
    if Catalog(place).entries:
        raise ConfigError(
            f"There is a gallery of {gallery} already: remove it first, with 'visita gallery rm'."
        )
    source = _Source(file)
    with ExitStack() as opened:
        make_folder(place)
        lock = WriterLock(place)
        lock.acquire()
        opened.callback(lock.release)
        write_card(place, gallery.folder)
        stores = [opened.enter_context(part.create(place)) for part in source.parts]
        catalog, metadata, words = Catalog(place), MetadataFile(place), words_file(place)
        for rows in source.batches():
            for part, store in zip(source.parts, stores, strict=True):
                part.add(rows, store)
            metadata.add({row["digest"]: [cleaned(row).to_dict()] for row in rows}, lock)
            if read := dict(_words(rows)):
                words.add(read, lock)
            catalog.update({_path(row): _entry(row) for row in rows}, (), lock)
        write_table(place, catalog.entries, lock)
        return len(catalog.entries)


def _entry(row: Mapping[str, Any]) -> Entry:
    size, changed = (whole(row[name], 0, 2**63 - 1) for name in ("size", "mtime_ns"))
    if size is None or changed is None:
        raise DataError(f"{printable(_path(row))} has no size or time of change in the file.")
    return Entry(size, changed, 0, row["digest"], described=VERSION)


def _words(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[dict[str, str]]]]:
    for row in rows:
        if isinstance(words := row.get("words"), str):
            yield row["digest"], [{"words": text(words, CAPTION) or ""}]


def _path(row: Mapping[str, Any]) -> str:
    """Return the path of a picture below the folder.

    Raises
    ------
    DataError
        If it leads elsewhere.
    """
    path = os.fsdecode(row["raw"]) if row["raw"] else row["path"]
    known = PurePath(path or "")
    if not path or "\0" in path or known.anchor or ".." in known.parts:
        raise DataError(f"{printable(str(path))[:100]!r} is no path below the folder.")
    return str(path)


@dataclass(frozen=True)
class _Part:
    """The vectors of one matcher in a file."""

    fingerprint: str
    facts: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]

    @classmethod
    def of(cls, fingerprint: str, about: Mapping[str, Any]) -> Self:
        """Return what a file says of it.

        Raises
        ------
        ValueError, TypeError, KeyError
            If that cannot be.
        """
        shapes = {str(name): tuple(map(int, shape)) for name, shape in about["columns"].items()}
        widths = [math.prod(shape) for shape in shapes.values()]
        if not _FINGERPRINT.fullmatch(fingerprint) or not {VECTOR} <= shapes.keys() <= {
            VECTOR,
            PARTS,
        }:
            raise ValueError(fingerprint[:100])
        if not all(0 < width <= _MOST_NUMBERS for width in widths) or len(shapes[VECTOR]) != 1:
            raise ValueError("widths")
        return cls(fingerprint, dict(about["facts"]), shapes)

    @property
    def names(self) -> list[str]:
        return [f"{name}-{self.fingerprint}" for name in self.shapes]

    def create(self, place: Path) -> FeatureStore:
        return FeatureStore.create(vectors_folder(place, self.fingerprint), self.shapes, self.facts)

    def add(self, rows: Sequence[Mapping[str, Any]], store: FeatureStore) -> None:
        """Keep the vectors of contents that are new, where there are any."""
        new = {row["digest"]: row for row in rows if row["digest"] not in store}
        known = [d for d, row in new.items() if all(row[name] is not None for name in self.names)]
        if known:
            cells = {name: [self._cell(new[d], name) for d in known] for name in self.shapes}
            store.append(known, {name: np.stack(values) for name, values in cells.items()})

    def _cell(self, row: Mapping[str, Any], name: str) -> NDArray[Any]:
        shape, value = self.shapes[name], row[f"{name}-{self.fingerprint}"]
        try:
            cell = (
                np.frombuffer(value, np.float16) if name == PARTS else np.array(value, np.float32)
            )
            cell = cell.reshape(shape)
        except (ValueError, TypeError) as error:
            raise DataError(f"{name} of {printable(_path(row))} has another shape.") from error
        if not np.isfinite(cell).all():
            raise DataError(f"{name} of {printable(_path(row))} is not finite.")
        return cell


class _Source:
    """A file to be read."""

    def __init__(self, file: Path) -> None:
        with extras_named("importing a gallery"):
            import pyarrow  # noqa: PLC0415  an extra
            from pyarrow import parquet  # noqa: PLC0415
        wrong = f"{printable(str(file))} is no gallery that visita exported"
        try:
            self._file = parquet.ParquetFile(file)
            about = json.loads((self._file.schema_arrow.metadata or {})[ABOUT])
            vectors = about["vectors"]
            self.parts = [_Part.of(name, vectors[name]) for name in list(vectors)[:_MOST_MATCHERS]]
        except (
            pyarrow.ArrowException,
            OSError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
            RecursionError,
        ) as error:
            raise DataError(f"{wrong}: {error}.") from error
        if about.get("format") != FORMAT:
            raise DataError(f"{wrong}, or one of a newer format: upgrade to read it.")
        self._names = [*COLUMNS, *KEPT, *(name for part in self.parts for name in part.names)]
        there = set(self._file.schema_arrow.names)
        self._names = [name for name in self._names if name in there or name not in _LATER]
        if lacking := set(self._names) - there:
            raise DataError(f"{wrong}: it lacks {', '.join(sorted(lacking)[:5])}.")

    def batches(self) -> Iterator[list[dict[str, Any]]]:
        """Yield the rows, a few at a time.

        Raises
        ------
        DataError
            If one is damaged.
        """
        import pyarrow  # noqa: PLC0415

        try:
            for batch in self._file.iter_batches(_ROWS, columns=self._names):
                rows = batch.to_pylist()
                if not all(_DIGEST.fullmatch(row["digest"] or "") for row in rows):
                    raise DataError("A row has no digest.")
                yield rows
        except (pyarrow.ArrowException, OSError, TypeError) as error:
            raise DataError(f"The file is damaged: {error}.") from error
