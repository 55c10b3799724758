"""What requests work on: the library in use, which another can take the place of at any moment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING

from visita.errors import VisitaError
from visita.progress import say
from visita.serve.config import ServeConfig
from visita.serve.encode import SharedFinder
from visita.serve.kept import Kept
from visita.serve.library import Library

if TYPE_CHECKING:
    from visita.search.past import Past


class Desk:
    """The library in use, what is kept, and the change to another matcher.

    A request takes ``library`` once, so that its galleries and its matcher belong together.

    Attributes
    ----------
    library : Library
    kept : Kept
    past : Past or None
        What articles are recommended by, learnt with the matcher in use.
    """

    def __init__(self, folders: Sequence[Path], config: ServeConfig, kept: Kept) -> None:
        self.config = config
        self.kept = kept
        self.switching = False
        self._folders = folders
        self._lock = Lock()
        chosen = kept.chosen(config.matcher)
        try:
            self.library, self.past = self._open(chosen or config.matcher)
        except VisitaError as error:
            if chosen is None:
                raise
            say(f"warning: {chosen} cannot be used, {config.matcher} is: {error}")
            self.library, self.past = self._open(config.matcher)

    def _open(self, matcher: str) -> tuple[Library, Past | None]:
        home, exclude = self.config.home, self.config.exclude
        library = Library(self._folders, SharedFinder(matcher), matcher, home=home, exclude=exclude)
        if self.config.past is None:
            return library, None
        from visita.data import Source  # noqa: PLC0415  most services need none
        from visita.search.past import Past  # noqa: PLC0415  brings scikit-learn

        return library, Past.learn(library.finder, Source(self.config.past, self.config.root))

    def start(self) -> None:
        """Begin to index in the background."""
        self.library.start()

    def switch(self, matcher: str) -> None:
        """Search with another matcher as soon as every picture has its vector.

        Durably noted on return. Until the vectors are there, the former answers; then it is let
        go of. What keeps the other from being used is said on stderr, and nothing changes.
        """
        base = self.config.matcher
        self.kept.choose(base, None if matcher == base else matcher)
        Thread(target=self._switch, args=(matcher,), name="switching", daemon=True).start()

    def _switch(self, matcher: str) -> None:
        with self._lock:
            self.switching = True
            try:
                if matcher != self.library.matcher:
                    library, past = self._open(matcher)
                    library.bring_in_step()
                    library.start()
                    former, self.library, self.past = self.library, library, past
                    former.close()
            except VisitaError as error:
                say(f"error: {matcher} cannot be searched with: {error}")
            finally:
                self.switching = False
