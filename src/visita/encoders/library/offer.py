"""What is about to be fetched from the hub, shown to whoever wants to see it first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository.

    Attributes
    ----------
    name : str
        Its path there.
    bytes : int
    digest : str
        Hex SHA-256; of a small file git's SHA-1 of it.
    """

    name: str
    bytes: int
    digest: str


@dataclass(frozen=True)
class Offer:
    """What is wanted of a repository, before any of it is fetched.

    Attributes
    ----------
    repository : str
    commit : str
        The hash of its revision.
    licence : str or None
        As the repository states it, if it does.
    files : tuple of RemoteFile
        Those that are wanted.
    missing : tuple of RemoteFile
        Those of them that are not in the cache.
    """

    repository: str
    commit: str
    licence: str | None
    files: tuple[RemoteFile, ...]
    missing: tuple[RemoteFile, ...]

    @property
    def bytes(self) -> int:
        """How much is to be fetched."""
        return sum(file.bytes for file in self.missing)


Review = Callable[[Offer], None]
_REVIEW: ContextVar[Review] = ContextVar("review", default=lambda _offer: None)


@contextmanager
def reviewed(review: Review) -> Iterator[None]:
    """Show ``review`` every offer in this block; what it raises ends the fetching."""
    before = _REVIEW.set(review)
    try:
        yield
    finally:
        _REVIEW.reset(before)


def show(offer: Offer) -> None:
    """Show an offer to whoever reviews them, before it is fetched."""
    _REVIEW.get()(offer)
