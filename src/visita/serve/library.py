"""The galleries that are served: read by all requests, and brought in step in the background.

A ``Shelf`` is a gallery as it was at one moment; whoever reads it is not disturbed by what is
indexed meanwhile, and the next request finds a newer one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic

from visita.errors import ArtifactError, DataError, VisitaError
from visita.gallery.sync import SyncReport
from visita.progress import Advance
from visita.search.finder import Finder
from visita.search.galleries import Gallery
from visita.serve import models
from visita.serve.problems import NotFoundError, NotReadyError
from visita.serve.shelf import Shelf

LOG = logging.getLogger("visita.serve")
GLANCE = 5.0
"""Seconds at least between two looks at what an indexing run has added."""
SPARING = 20
"""How many times longer indexing goes on than a look takes."""
TOLD = 20
"""Skipped files that are named."""


class Served:
    """One gallery: what is known of it now, and how far indexing is."""

    def __init__(self, folder: Path, finder: Finder, home: Path | None) -> None:
        self._folder, self._finder, self._home = folder, finder, home
        self.stored = self._open().stored
        self.id = self.stored.path.name
        self.error: str | None = None
        self.state: str = "indexing"
        self.done = self.total = 0
        self._shelf: Shelf | None = None
        self._report: SyncReport | None = None
        self._next_look = 0.0

    def _open(self) -> Gallery:
        return Gallery.open(self._folder, matcher=self._finder, home=self._home)

    @property
    def shelf(self) -> Shelf:
        """The gallery as it is known now.

        Raises
        ------
        NotReadyError
            If nothing of it is read yet.
        """
        if self._shelf is None:
            raise NotReadyError(f"The pictures of {self.stored} are not read yet: wait a moment.")
        return self._shelf

    @property
    def size(self) -> int:
        """How many pictures can be searched now."""
        return len(self._shelf) if self._shelf else 0

    def look(self) -> None:
        """Take up what is on disk, if there is anything."""
        begun = monotonic()
        with suppress(DataError, ArtifactError):
            self._shelf = Shelf.of(self.id, self._open())
        self._next_look = monotonic() + max(GLANCE, SPARING * (monotonic() - begun))

    def sync(self, exclude: Sequence[str]) -> None:
        """Bring the gallery in step; what keeps it from that is noted."""
        self.state, self.error, self.done, self.total = "indexing", None, 0, 0
        matcher, encoder = self._finder.matcher, self._finder.pictures
        try:
            self._report = self.stored.sync(
                matcher, encoder, exclude=exclude, progress=self._progress
            )
        except (VisitaError, OSError) as error:
            self.state, self.error = "failed", str(error)
            LOG.error("%s cannot be indexed: %s", self.stored, error)
            return
        self.look()
        self.state = "ready"

    @contextmanager
    def _progress(self, _label: str, total: int) -> Iterator[Advance]:
        self.total, self.done = total, 0

        def advance(done: int) -> None:
            self.done += done
            if monotonic() > self._next_look:
                self.look()

        yield advance

    def told(self) -> models.Gallery:
        """Return what there is to say of it."""
        skipped = (*self._report.skipped, *self._report.unreadable) if self._report else ()
        return models.Gallery(
            id=self.id,
            name=self.stored.folder.name,
            folder=str(self.stored),
            state=self.state,  # type: ignore[arg-type]
            pictures=self.size,
            done=self.done,
            total=self.total,
            error=self.error,
            skipped=tuple(f"{each.item}: {each.reason}" for each in skipped[:TOLD]),
        )


class Library:
    """All galleries that are served, with one matcher."""

    def __init__(
        self,
        folders: Sequence[Path],
        finder: Finder,
        matcher: str,
        *,
        home: Path | None = None,
        exclude: Sequence[str] = (),
    ) -> None:
        self.finder = finder
        self.matcher = matcher
        each = [Served(folder, finder, home) for folder in folders]
        self.served = {one.id: one for one in each}
        self._exclude = exclude
        self._wanted: SimpleQueue[Served | None] = SimpleQueue()
        self._waiting: set[str] = set()
        self._lock = Lock()

    def start(self) -> None:
        """Take up what is on disk, and bring everything in step in the background."""
        for served in self.served.values():
            served.look()
            self.want(served.id)
        Thread(target=self._work, name="indexing", daemon=True).start()

    def bring_in_step(self) -> None:
        """Give every picture its vector, and return then.

        Raises
        ------
        ArtifactError
            If one of the galleries cannot be brought in step.
        """
        for served in self.served.values():
            served.sync(self._exclude)
            if served.error is not None:
                raise ArtifactError(served.error)

    def close(self) -> None:
        """Index no more, so that nothing holds what it has in memory."""
        self._wanted.put(None)

    def want(self, name: str) -> Served:
        """Let a gallery be brought in step soon, once.

        Raises
        ------
        NotFoundError
            If there is none of this id.
        """
        served = self.of(name)
        with self._lock:
            if name not in self._waiting:
                self._waiting.add(name)
                self._wanted.put(served)
        return served

    def _work(self) -> None:
        while (served := self._wanted.get()) is not None:
            with self._lock:
                self._waiting.discard(served.id)
            served.sync(self._exclude)

    def of(self, name: str) -> Served:
        """Return the gallery of an id.

        Raises
        ------
        NotFoundError
            If there is none.
        """
        if name not in self.served:
            raise NotFoundError(f"There is no gallery {name!r} here.")
        return self.served[name]

    def shelves(self, names: Sequence[str] = ()) -> list[Shelf]:
        """Return the galleries of some ids, or all of which anything is read.

        Raises
        ------
        NotFoundError, NotReadyError
            If there is none of an id, or nothing of it is read yet.
        """
        if names:
            return [self.of(name).shelf for name in dict.fromkeys(names)]
        found = [served.shelf for served in self.served.values() if served.size]
        return found or [next(iter(self.served.values())).shelf]

    @property
    def size(self) -> int:
        """How many pictures can be searched now."""
        return sum(served.size for served in self.served.values())

    @property
    def ready(self) -> bool:
        """Whether every gallery can be searched."""
        return all(served.size for served in self.served.values())
