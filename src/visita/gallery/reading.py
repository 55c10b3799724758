"""Reading picture files: their digests, features of new contents, what is written about them.

Nothing is written to the gallery here: parts of what was read go to whoever commits them, in
this process or, from a worker, in another.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from visita.data.pictures import PictureFile
from visita.encoders.contract import EncodedBatch, PictureEncoder
from visita.errors import PassingError, PictureError
from visita.gallery.at_hand import at_hand
from visita.gallery.metadata import Sources, describe, stamp_of
from visita.gallery.survey import CHANGED, can_be_read, digest_of, is_as_found
from visita.types import FloatArray, Skipped

_PART = 1000


class Outcome(NamedTuple):
    """What became of one file, given by its path.

    ``digest`` is that of its content, empty where it could not be read. ``described`` is the
    stamp of the metadata that were read. ``error`` says why it is no picture, ``passing`` why it
    is to be tried again.
    """

    path: str
    digest: str = ""
    described: str | None = None
    error: str | None = None
    passing: str | None = None


@dataclass
class Part:
    """Some files as they were read, to be committed together.

    Attributes
    ----------
    digests : list of str (b)
        Contents that were encoded.
    columns : dict of (b, …) arrays
        Their features.
    outcomes : list of Outcome
        One a file.
    sources : Sources
        What is written about the pictures among them.
    """

    digests: list[str] = field(default_factory=list)
    columns: dict[str, FloatArray] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    sources: Sources = field(default_factory=dict)


Commit = Callable[[Part], None]


class Reading(Protocol):
    """Reads ``paths``, which are keys of ``files``, and gives what it read to ``commit``.

    Each file is in one part, in their order but for copies, which may come last.
    Contents whose digest is ``known`` are not encoded.
    """

    def __call__(
        self,
        files: Mapping[str, PictureFile],
        paths: Iterable[str],
        encoder: PictureEncoder,
        known: Collection[str],
        commit: Commit,
    ) -> None:
        """Read them all."""


def read_here(
    files: Mapping[str, PictureFile],
    paths: Iterable[str],
    encoder: PictureEncoder,
    known: Container[str],
    commit: Commit,
) -> None:
    """Read files in this process; a ``Reading``."""
    for there, some, faults in at_hand(files, paths):
        if faults:
            commit(Part(outcomes=[Outcome(path, passing=why) for path, why in faults.items()]))
        Reader(there, known, commit).read(some, encoder)


class Reader:
    """Reads files, given by their paths relative to a folder; see ``Reading``."""

    def __init__(
        self, files: Mapping[str, PictureFile], known: Container[str], commit: Commit
    ) -> None:
        self._files = files
        self._known = known
        self._commit = commit
        self._sent: dict[str, str] = {}  # digest → path of the file that is being encoded
        self._copies: list[tuple[str, str]] = []  # path, digest of others like it
        self._broken: dict[str, str] = {}  # digest → why it is no picture
        self._passing: dict[str, str] = {}  # digest → why it could not be read
        self._part = Part()

    def read(self, paths: Iterable[str], encoder: PictureEncoder) -> None:
        """Read files whose content may be new."""
        for batch in encoder.encode(self._unknown(paths)):
            self._take_in(batch)
        for path, digest in self._copies:
            self._settle(path, digest)
        for path in self._sent.values():
            self._put_off(path, "was left out by the encoder, which is a fault of the encoder")
        self._hand_over()

    def describe(self, digests: Mapping[str, str]) -> None:
        """Read what is written about pictures of which all else is known, by their paths."""
        for path, digest in digests.items():
            self._settle(path, digest)
            self._hand_over(_PART)
        self._hand_over()

    def _unknown(self, paths: Iterable[str]) -> Iterator[tuple[str, Path]]:
        for path in paths:
            try:
                digest = digest_of(self._files[path])
            except PictureError as error:
                self._put_off(path, str(error))
                continue
            if digest in self._known or digest in self._broken:
                self._settle(path, digest)
            elif digest in self._sent:
                self._copies.append((path, digest))
            else:
                self._sent[digest] = path
                self._passing.pop(digest, None)
                yield digest, self._files[path].path
            self._hand_over(_PART)

    def _take_in(self, batch: EncodedBatch) -> None:
        paths = {digest: self._sent.pop(digest) for digest in batch.keys}
        intact = [row for row, path in enumerate(paths.values()) if is_as_found(self._files[path])]
        self._part.digests = [batch.keys[row] for row in intact]
        if intact:
            self._part.columns = {name: column[intact] for name, column in batch.columns.items()}
        self._passing |= dict.fromkeys(paths.keys() - set(self._part.digests), CHANGED)
        for skipped in batch.skipped:
            paths[skipped.item] = self._sent.pop(skipped.item)
            self._judge(skipped, self._files[paths[skipped.item]])
        for digest, path in paths.items():
            self._settle(path, digest)
        self._hand_over()

    def _judge(self, skipped: Skipped, file: PictureFile) -> None:
        """Tell a fault of the content, which stays with it, from one of the moment."""
        if not skipped.passing and can_be_read(file, skipped.item):
            self._broken[skipped.item] = skipped.reason
        elif is_as_found(file):
            self._passing[skipped.item] = f"{skipped.reason}; it is tried again at the next sync"
        else:
            self._passing[skipped.item] = CHANGED

    def _settle(self, path: str, digest: str) -> None:
        if digest in self._passing:
            self._put_off(path, self._passing[digest])
            return
        error = self._broken.get(digest)
        described = None if error else self._described(path, digest)
        self._part.outcomes.append(Outcome(path, digest, described, error))

    def _described(self, path: str, digest: str) -> str | None:
        """Read what is written about a picture; None if that has to be tried again."""
        file = self._files[path]
        try:
            sources = describe(path, digest, file)
        except PassingError:
            return None
        if not is_as_found(file):
            return None
        self._part.sources |= sources
        return stamp_of(path, file)

    def _put_off(self, path: str, reason: str) -> None:
        self._part.outcomes.append(Outcome(path, passing=reason))

    def _hand_over(self, least: int = 1) -> None:
        if len(self._part.outcomes) >= least:
            part, self._part = self._part, Part()
            self._commit(part)
