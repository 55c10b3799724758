"""What people told the service: marks, collections and which matcher they chose, in SQLite.

Each change is on disk before it is answered. Pictures are kept by gallery and content, so that
they are found again after they were renamed or moved.
"""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Any

from visita.durable import make_folder
from visita.errors import ArtifactError, DamagedError, UnwritableError
from visita.serve import kept_models, models
from visita.serve.problems import NotFoundError

FILE = "kept.sqlite"
LAYOUT = 1
_SCHEMA = f"""
PRAGMA user_version = {LAYOUT};
CREATE TABLE marks (
    gallery TEXT, picture TEXT, text TEXT, fits INTEGER NOT NULL, marked TEXT NOT NULL,
    PRIMARY KEY (gallery, picture, text));
CREATE TABLE collections (id TEXT PRIMARY KEY, name TEXT NOT NULL, made TEXT NOT NULL);
CREATE TABLE members (
    collection TEXT REFERENCES collections ON DELETE CASCADE, gallery TEXT, picture TEXT,
    PRIMARY KEY (collection, gallery, picture));
CREATE TABLE choices (base TEXT PRIMARY KEY, matcher TEXT NOT NULL);
"""


class Kept:
    """What is kept in a folder; thread-safe.

    Raises
    ------
    UnwritableError
        If the folder cannot be written.
    ArtifactError
        If what is there is damaged, or of a newer visita.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / FILE
        self._turn = Lock()
        try:
            make_folder(folder)
            self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._connection.executescript("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL;")
            self._prepare(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise UnwritableError(f"{path} cannot be written ({error}).", str(error)) from error
            raise DamagedError(f"{path} is damaged ({error}): put a copy in its place.") from error
        except OSError as error:
            reason = error.strerror or str(error)
            raise UnwritableError(f"{folder} cannot be written ({reason}).", reason) from error

    def _prepare(self, path: Path) -> None:
        with self._writing():
            (layout,) = self._connection.execute("PRAGMA user_version").fetchone()
            if layout > LAYOUT:
                raise ArtifactError(f"{path} was written by a newer visita; upgrade to use it.")
            if not layout:
                for statement in _SCHEMA.strip().split(";"):
                    self._connection.execute(statement)

    def mark(self, mark: kept_models.Mark) -> None:
        """Note whether a picture fits a text, in place of what was noted before, or nothing."""
        of = mark.gallery, mark.id, mark.text
        with self._writing():
            self._do("DELETE FROM marks WHERE gallery = ? AND picture = ? AND text = ?", of)
            if mark.fits is not None:
                self._do("INSERT INTO marks VALUES (?, ?, ?, ?, ?)", (*of, mark.fits, _now()))

    def marks(self) -> tuple[kept_models.Mark, ...]:
        """Return all marks, in the order in which they were made."""
        rows = self._read("SELECT gallery, picture, text, fits FROM marks ORDER BY marked")
        return tuple(
            kept_models.Mark(gallery=gallery, id=picture, text=text, fits=bool(fits))
            for gallery, picture, text, fits in rows
        )

    def collections(self) -> tuple[kept_models.Collection, ...]:
        """Return all collections, by name."""
        rows = self._read(
            "SELECT id, name, (SELECT count(*) FROM members WHERE collection = id) "
            "FROM collections ORDER BY name, made"
        )
        return tuple(kept_models.Collection(id=i, name=name, size=size) for i, name, size in rows)

    def collection(self, name: str) -> kept_models.Collection:
        """Return one collection by its id.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        for collection in self.collections():
            if collection.id == name:
                return collection
        raise NotFoundError(f"There is no collection {name[:40]!r}.")

    def members(self, collection: str) -> list[models.Named]:
        """Return the pictures of a collection, in the order in which they were put there."""
        self.collection(collection)
        rows = self._read(
            "SELECT gallery, picture FROM members WHERE collection = ? ORDER BY rowid",
            (collection,),
        )
        return [models.Named(gallery=gallery, id=picture) for gallery, picture in rows]

    def make_collection(self, name: str) -> kept_models.Collection:
        """Make a collection that is empty."""
        made = kept_models.Collection(id=uuid.uuid4().hex, name=name, size=0)
        with self._writing():
            self._do("INSERT INTO collections VALUES (?, ?, ?)", (made.id, name, _now()))
        return made

    def rename_collection(self, collection: str, name: str) -> None:
        """Give a collection another name; raises as ``collection``."""
        self.collection(collection)
        with self._writing():
            self._do("UPDATE collections SET name = ? WHERE id = ?", (name, collection))

    def remove_collection(self, collection: str) -> None:
        """Forget a collection, not its pictures; raises as ``collection``."""
        self.collection(collection)
        with self._writing():
            self._do("DELETE FROM collections WHERE id = ?", (collection,))

    def change_collection(
        self, collection: str, add: Sequence[models.Named], remove: Sequence[models.Named]
    ) -> None:
        """Put pictures into a collection, and take others out; raises as ``collection``."""
        self.collection(collection)
        put = "INSERT OR IGNORE INTO members VALUES (?, ?, ?)"
        take = "DELETE FROM members WHERE collection = ? AND gallery = ? AND picture = ?"
        with self._writing():
            for statement, pictures in ((put, add), (take, remove)):
                for picture in pictures:
                    self._do(statement, (collection, picture.gallery, picture.id))

    def choose(self, base: str, matcher: str | None) -> None:
        """Note which matcher is searched with in place of ``base``; None goes back to that."""
        with self._writing():
            self._do("DELETE FROM choices WHERE base = ?", (base,))
            if matcher is not None:
                self._do("INSERT INTO choices VALUES (?, ?)", (base, matcher))

    def chosen(self, base: str) -> str | None:
        """Return the matcher that was chosen in place of ``base``, if any."""
        rows = self._read("SELECT matcher FROM choices WHERE base = ?", (base,))
        return rows[0][0] if rows else None

    def _do(self, statement: str, values: Sequence[Any]) -> None:
        self._connection.execute(statement, values)

    def _read(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self._turn:
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Make all changes of the block at once, or none; on return they are on disk."""
        with self._turn:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise


def _now() -> str:
    return datetime.now(UTC).isoformat()
