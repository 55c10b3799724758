"""A gallery: the pictures of one folder, and what is kept of them elsewhere.

::

    home/galleries/<folder's name>-<8 hex digits of its path>/
      gallery.json        the folder
      index.sqlite        its files, by path
      features-<…>/       features by content, one store for each recipe and encoder
      vectors-<…>/        vectors by content, and packed parts, one store for each matcher

Nothing is ever written among the pictures.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from visita.artifact import read_json, write_json
from visita.data.kinds import SUFFIXES
from visita.data.pictures import find_pictures, printable
from visita.errors import ArtifactError, DataError
from visita.features.contract import PictureEncoder
from visita.gallery.catalog import Catalog
from visita.gallery.snapshot import Parts, Snapshot
from visita.gallery.stores import PARTS, VECTOR, open_stores, read_vectors
from visita.gallery.sync import ProgressBar, Sync, SyncReport
from visita.home import data_home
from visita.progress import Advance
from visita.types import Matcher

FORMAT = 1
CARD = "gallery.json"
INDEX = "index.sqlite"


def galleries_home(home: Path | None) -> Path:
    """Return the folder that holds all galleries below ``home``, or the user's."""
    return (home or data_home()) / "galleries"


class Gallery:
    """The pictures of one folder; see ``open``.

    Attributes
    ----------
    folder : Path
        Where the pictures are, absolute and without links.
    path : Path
        Where the gallery keeps what it knows of them.
    """

    def __init__(self, folder: Path, path: Path) -> None:
        self.folder = folder
        self.path = path

    @classmethod
    def open(cls, folder: str | Path, *, home: Path | None = None) -> Gallery:
        """Return the gallery of a folder; nothing is read or written yet.

        Raises
        ------
        DataError
            If there is no such folder.
        ArtifactError
            If the gallery was written by a newer visita.
        """
        try:
            real = Path(folder).resolve()
        except (OSError, RuntimeError) as error:  # a loop of links
            raise DataError(f"{printable(str(folder))} cannot be followed: {error}.") from error
        if not real.is_dir():
            raise DataError(
                f"{printable(str(real))} is not a folder. If it was moved, open it where it is now."
            )
        path = galleries_home(home) / name_of(real)
        if (path / CARD).exists() and read_json(path / CARD).get("format", 0) > FORMAT:
            raise ArtifactError(f"{path} was written by a newer visita; upgrade to use it.")
        return cls(real, path)

    def sync(
        self,
        matcher: Matcher,
        encoder: PictureEncoder,
        *,
        exclude: Iterable[str] = (),
        progress: ProgressBar | None = None,
    ) -> SyncReport:
        """Bring the gallery in step with its folder.

        Only new or changed files (by size and time of change) are read, and only content
        that is new is encoded; for another matcher on the same features nothing is. It can
        be killed at any moment and goes on where it was. Readers are not disturbed.

        Parameters
        ----------
        exclude
            Glob patterns of files and folders to leave out; see ``find_pictures``.
        progress
            Shows how far it is: ``visita.progress.bar`` or the like.

        Raises
        ------
        DataError
            If the folder has no pictures, or none that can be read.
        MismatchError
            If the encoder does not compute what the matcher needs.
        ArtifactError
            If another sync is running, or what is kept is damaged or cannot be written.
        """
        started = time.monotonic()
        found = find_pictures(self.folder, exclude)
        if not found.pictures:
            raise DataError(
                f"No pictures were found in {self}; looked for names that end in "
                f"{', '.join(SUFFIXES)}."
            )
        self._write_card()
        start = len(self._root)
        files = {str(file.path)[start:]: file for file in found.pictures}
        with (
            open_stores(self.path, matcher, encoder) as stores,
            Catalog(self.path / INDEX) as catalog,
        ):
            sync = Sync(files, catalog, stores)
            sync.run(encoder, progress or _no_bar)
        return sync.report(found, time.monotonic() - started)

    def snapshot(self, matcher_fingerprint: str) -> Snapshot:
        """Return what is known now of the pictures that one matcher has a vector for.

        Raises
        ------
        DataError
            If the gallery was never synchronized with this matcher.
        ArtifactError
            If what is kept is damaged.
        """
        if not (self.path / INDEX).exists():
            raise DataError(f"{self} is not indexed yet: synchronize it first.")
        with Catalog(self.path / INDEX) as catalog:
            digests = catalog.digests()
        # Opened after the catalogue was read, so it has what the catalogue knows.
        store = read_vectors(self.path, matcher_fingerprint)
        known = {path: digest for path, digest in digests.items() if digest in store}
        rows = np.array([store.row(digest) for digest in known.values()], np.int64)
        vectors = store.column(VECTOR)[rows]
        vectors.flags.writeable = False
        parts = Parts(store.column(PARTS), rows) if PARTS in store.columns else None
        root = self._root
        return Snapshot([root + path for path in known], vectors, list(known.values()), parts)

    def __str__(self) -> str:
        return printable(str(self.folder))

    @property
    def _root(self) -> str:
        return os.path.join(self.folder, "")  # noqa: PTH118  ends with a slash, unlike a Path

    def _write_card(self) -> None:
        if (self.path / CARD).exists():
            return
        created = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_json(
                self.path / CARD, {"format": FORMAT, "folder": str(self), "created": created}
            )
        except OSError as error:
            raise ArtifactError(
                f"{self.path} cannot be written ({error.strerror}): choose another place with "
                "VISITA_HOME."
            ) from error


def name_of(folder: Path) -> str:
    """Return what the gallery of a folder, given without links, is called."""
    slug = re.sub(r"[^\w-]+", "-", folder.name.lower()).strip("-")[:40] or "pictures"
    return f"{slug}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"


@contextmanager
def _no_bar(_label: str, _total: int) -> Iterator[Advance]:
    yield lambda _done: None
