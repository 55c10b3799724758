"""A gallery as one Parquet file, for other tools and other machines.

A row is a picture: the columns of the table, the digest of its content, and for each matcher that
read it ``vector-<fingerprint>`` and, where it has a second stage, ``parts-<fingerprint>`` as bytes.
The file's metadata say under ``visita`` what these are, as JSON.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from visita.data.buckets import upload
from visita.data.locations import ObjectPath
from visita.durable import draft_beside, sync_file, sync_folder
from visita.errors import extras_named
from visita.gallery.columns import VECTOR
from visita.gallery.table import COLUMNS, open_table
from visita.store.layout import is_store
from visita.store.store import FeatureStore

FORMAT = 1
ABOUT = b"visita"
"""The key of the file's metadata."""
_ROWS = 1000
KEPT = {"digest": "BLOB", "raw": "BLOB", "mtime_ns": "INTEGER"}
"""What else a row needs to become a picture of a gallery again."""


def export_gallery(place: Path, out: Path) -> int:
    """Write what the gallery in ``place`` keeps of its pictures, and return of how many.

    ``out`` is a file, or an object of a bucket (``visita.data.locations.location``).

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed.
    DamagedError
        If vectors cannot be opened.
    DataError
        If the bucket cannot be used.
    """
    if isinstance(out, ObjectPath):
        with tempfile.TemporaryDirectory(prefix="visita-") as scratch:
            count = export_gallery(place, file := Path(scratch) / "gallery.parquet")
            upload(file, out)
        return count
    with extras_named("exporting a gallery"):
        import pyarrow  # noqa: PLC0415  an extra
        from pyarrow import parquet  # noqa: PLC0415
    stores = [_Stored(folder) for folder in sorted(place.glob("vectors-*")) if is_store(folder)]
    schema = _schema(stores)
    count = 0
    with draft_beside(out) as folder, open_table(place) as connection:
        draft = folder / out.name
        with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            for rows in _batches(connection):
                columns = {name: _column(name, rows) for name in (*COLUMNS, *KEPT)}
                for stored in stores:
                    columns |= stored.columns([row["digest"].hex() for row in rows])
                writer.write_table(pyarrow.Table.from_pydict(columns, schema))
                count += len(rows)
        sync_file(draft)
        draft.replace(out)
        sync_folder(out.parent)
    return count


class _Stored:
    """The vectors of one matcher, and the parts where there are some."""

    def __init__(self, folder: Path) -> None:
        self.fingerprint = folder.name.partition("-")[2]
        self.store = FeatureStore.open(folder)
        self._rows = self.store.intact()

    def about(self) -> dict[str, Any]:
        return {"facts": dict(self.store.facts), "columns": dict(self.store.columns)}

    def columns(self, digests: Sequence[str]) -> dict[str, list[Any]]:
        rows = [self._rows.get(digest) for digest in digests]
        return {
            f"{name}-{self.fingerprint}": [
                None if row is None else _cell(name, self.store.column(name)[row]) for row in rows
            ]
            for name in self.store.columns
        }


def _cell(name: str, values: Any) -> Any:
    return values if name == VECTOR else np.ascontiguousarray(values).tobytes()


def _schema(stores: Sequence[_Stored]) -> Any:
    import pyarrow  # noqa: PLC0415  an extra

    kinds = {"TEXT": pyarrow.string(), "INTEGER": pyarrow.int64(), "REAL": pyarrow.float64()}
    kinds["BLOB"] = pyarrow.binary()
    fields = {name: kinds[kind] for name, kind in (COLUMNS | KEPT).items()}
    fields |= {"digest": pyarrow.string(), "keywords": pyarrow.list_(pyarrow.string())}
    for stored in stores:
        for name, shape in stored.store.columns.items():
            vector = name == VECTOR
            kind = pyarrow.list_(pyarrow.float32(), shape[0]) if vector else pyarrow.binary()
            fields[f"{name}-{stored.fingerprint}"] = kind
    vectors = {stored.fingerprint: stored.about() for stored in stores}
    about = json.dumps({"format": FORMAT, "vectors": vectors})
    return pyarrow.schema(fields, {ABOUT: about.encode()})


def _column(name: str, rows: Sequence[sqlite3.Row]) -> list[Any]:
    values = [row[name] for row in rows]
    if name == "keywords":
        return [value.split("\n") if value else None for value in values]
    if name == "digest":
        return [value.hex() for value in values]
    return values


def _batches(connection: sqlite3.Connection) -> Iterator[list[sqlite3.Row]]:
    connection.row_factory = sqlite3.Row
    cursor = connection.execute("SELECT * FROM pictures ORDER BY path, raw")
    while rows := cursor.fetchmany(_ROWS):
        yield rows
