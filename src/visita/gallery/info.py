"""What a gallery keeps of its pictures: which columns, of how many of them, in how much room."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from visita.gallery.engines import named_engine
from visita.gallery.inverted_files import read_inverted
from visita.gallery.listing import read_card
from visita.gallery.table import COLUMNS, open_table
from visita.gallery.upkeep import store_folders
from visita.store.store import FeatureStore

_NUMBER = 8
"""Bytes of one, at most."""


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """One column.

    Attributes
    ----------
    source : str
        ``table``, or the store of features or vectors that it is in.
    name, type : str
        As in ``date`` and ``TEXT``, or in ``vector`` and ``float32 (512,)``.
    known : int
        Of how many pictures, or different contents in a store, there is a value.
    bytes : int
        What the values take on disk, without indices and checksums.
    """

    source: str
    name: str
    type: str
    known: int
    bytes: int


@dataclass(frozen=True, slots=True)
class GalleryContents:
    """What a gallery keeps.

    Attributes
    ----------
    name, folder : str
    pictures : int
    columns : list of ColumnInfo
    engine : str
        What searches the vectors: ``exact`` misses none.
    recall : dict of float
        By the store of vectors, the share of the ten best of all that its inverted file finds for
        captions; empty where all are looked at.
    bytes : int
        All that it takes on disk.
    """

    name: str
    folder: str
    pictures: int
    columns: list[ColumnInfo]
    engine: str
    recall: dict[str, float]
    bytes: int


def gallery_contents(path: Path) -> GalleryContents:
    """Return what the gallery in ``path`` keeps.

    Raises
    ------
    DamagedError
        If its card is not as it was written, or a store cannot be opened.
    """
    folder = read_card(path).folder
    with open_table(path) as connection:
        (pictures,) = connection.execute("SELECT count(*) FROM pictures").fetchone()
        columns = list(_of_table(connection))
    for place in store_folders(path):
        columns += _of_store(place)
    size = sum(file.lstat().st_size for file in path.rglob("*") if file.is_file())
    recall = dict(_recalls(path))
    engine = named_engine() or ("inverted" if recall else "exact")
    return GalleryContents(path.name, folder, pictures, columns, engine, recall, size)


def _recalls(path: Path) -> Iterator[tuple[str, float]]:
    for place in path.glob("vectors-*"):
        if kept := read_inverted(path, FeatureStore.open(place)):
            yield place.name, kept.recall


def _of_table(connection: sqlite3.Connection) -> Iterator[ColumnInfo]:
    for name, kind in COLUMNS.items():
        size = f"length(CAST({name} AS BLOB))" if kind == "TEXT" else str(_NUMBER)
        query = f"SELECT count({name}), total(CASE WHEN {name} IS NULL THEN 0 ELSE {size} END)"
        known, taken = connection.execute(f"{query} FROM pictures").fetchone()
        yield ColumnInfo("table", name, kind, known, int(taken))


def _of_store(folder: Path) -> Iterator[ColumnInfo]:
    store = FeatureStore.open(folder)
    for name in store.columns:
        column = store.column(name)
        kind = f"{column.dtype} {column.shape[1:]}"
        yield ColumnInfo(folder.name, name, kind, len(store), column.nbytes)
