"""A gallery as it was at one moment: its pictures by id, and what is written of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Self

from visita.gallery.duplicates import Duplicates, find_duplicates
from visita.gallery.snapshot import Snapshot
from visita.gallery.survey import root_of
from visita.gallery.table import COLUMNS, key_of, open_table
from visita.search.galleries import Gallery
from visita.serve import models
from visita.serve.problems import NotFoundError

MOST_VALUES = 200
"""Values of a facet; the rarest are left out."""
YEAR = "substr(date, 1, 4)"


@dataclass(frozen=True, eq=False)
class Shelf:
    """The pictures of one gallery; made once, read by many threads.

    Attributes
    ----------
    id : str
        The gallery's.
    gallery : Gallery
        Whose ``snapshot`` is read, and stays.
    """

    id: str
    gallery: Gallery
    _table: sqlite3.Connection
    _open: ExitStack
    """Keeps the table open as long as the shelf is."""
    _turn: Lock

    @classmethod
    def of(cls, name: str, gallery: Gallery) -> Self:
        """Return a gallery as it is on disk now.

        Raises
        ------
        DataError, ArtifactError
            If there is nothing of it, or it is damaged.
        """
        gallery.snapshot  # noqa: B018  read here, where what is wrong with it is told
        stack = ExitStack()
        table = stack.enter_context(open_table(gallery.stored.path))
        return cls(name, gallery, table, stack, Lock())

    def __len__(self) -> int:
        return len(self.snapshot)

    @property
    def snapshot(self) -> Snapshot:
        """Paths, vectors and digests."""
        return self.gallery.snapshot

    @cached_property
    def by_id(self) -> Mapping[str, int]:
        """The first row of each content."""
        found: dict[str, int] = {}
        for row, digest in enumerate(self.snapshot.digests):
            found.setdefault(digest, row)
        return found

    def row(self, picture: str) -> int:
        """Return the row of a picture by its id.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        if picture not in self.by_id:
            raise NotFoundError(f"There is no picture {picture[:12]}… in the gallery {self.id!r}.")
        return self.by_id[picture]

    def path(self, picture: str) -> Path:
        """Return the file of a picture; raises as ``row``."""
        return Path(self.snapshot.paths[self.row(picture)])

    @cached_property
    def folders(self) -> frozenset[str]:
        """The folders within the gallery that hold pictures, at any depth."""
        direct = self.ask("SELECT DISTINCT folder FROM pictures")
        return frozenset(
            str(above) for (folder,) in direct for above in (Path(folder), *Path(folder).parents)
        ) - {"."}

    @cached_property
    def duplicates(self) -> list[Duplicates]:
        """The groups of pictures that are nearly the same; found when first asked for."""
        return find_duplicates(self.snapshot)

    @cached_property
    def dates(self) -> Mapping[str, str]:
        """When each picture was taken, by id, where that is known."""
        dated = self.ask("SELECT digest, date FROM pictures WHERE date IS NOT NULL")
        return {digest.hex(): date for digest, date in dated}

    def described(self, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Return what is written of the pictures of some absolute paths, by column, in order."""
        start = len(root_of(self.gallery.folder))
        keys = [key_of(path[start:]) for path in paths]
        marks = ", ".join("?" * len(keys))
        query = f"SELECT raw, {', '.join(COLUMNS)} FROM pictures WHERE path IN ({marks})"
        found = {}
        for raw, *values in self.ask(query, [path for path, _ in keys]):
            known = dict(zip(COLUMNS, values, strict=True))
            found[known["path"], raw] = known
        return [found.get(key, {}) for key in keys]

    def facets(self) -> models.Facets:
        """Return the commonest values of what can be filtered by."""
        tags: dict[str, int] = {}
        for (keywords,) in self.ask("SELECT keywords FROM pictures WHERE keywords IS NOT NULL"):
            for tag in keywords.split("\n"):
                tags[tag] = tags.get(tag, 0) + 1
        [(placed,)] = self.ask("SELECT count(*) FROM pictures WHERE latitude IS NOT NULL")
        return models.Facets(
            folders=self._values("folder"),
            cameras=self._values("camera"),
            tags=_commonest(tags.items()),
            years=self._values(YEAR),
            placed=placed,
        )

    def _values(self, column: str) -> tuple[models.Value, ...]:
        counts = f"SELECT {column}, count(*) FROM pictures GROUP BY 1"
        return _commonest((value, count) for value, count in self.ask(counts) if value)

    def ask(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return what the table says."""
        with self._turn:
            return self._table.execute(query, values).fetchall()


def _commonest(counts: Iterable[tuple[str, int]]) -> tuple[models.Value, ...]:
    ordered = sorted(counts, key=lambda each: (-each[1], each[0]))[:MOST_VALUES]
    return tuple(models.Value(value=value, count=count) for value, count in ordered)
