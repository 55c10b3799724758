"""What a gallery's catalogue says of a file, and of all files as arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from visita.store.checkpoint import Arrays
from visita.store.texts import Texts


class Entry(NamedTuple):
    """A file as it was when it was last read.

    Attributes
    ----------
    size, mtime_ns, inode : int
        Bytes, time of the last change, and the file system's number; while all stay, so does
        the content. A number of 0 is not known.
    digest : str
        Hex SHA-256 of the content.
    error : str or None
        Why it is no picture, if so.
    decoder : str or None
        Versions of what could not decode it: others may succeed.
    gone : int or None
        Since when it has not been there, in seconds since 1970, if so.
    described : str or None
        Which metadata of it is kept, see ``metadata.stamp_of``; None if none was read yet.
    """

    size: int
    mtime_ns: int
    inode: int
    digest: str
    error: str | None = None
    decoder: str | None = None
    gone: int | None = None
    described: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether it is a picture, and is not gone."""
        return self.error is None and self.gone is None


class Shown(NamedTuple):
    """The pictures that are there, in the order of their paths."""

    paths: Texts
    digests: Texts

    @classmethod
    def of(cls, entries: Mapping[str, Entry]) -> Self:
        """Return those among all that is known."""
        there = sorted((path, entry.digest) for path, entry in entries.items() if entry.is_there)
        return cls(Texts.of(path for path, _ in there), Texts.of(digest for _, digest in there))

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Return those among what ``arrays_of`` made arrays of."""
        there = (arrays["error"] < 0) & (arrays["gone"] < 0)
        return cls(*(Texts.from_arrays(arrays, name) for name in ("paths", "digest"))).only(there)

    def only(self, kept: NDArray[np.bool_]) -> Self:
        """Return those that are ``kept``, (n,)."""
        return type(self)(self.paths.only(kept), self.digests.only(kept))


_NUMBERS = {"size": np.int64, "mtime_ns": np.int64, "inode": np.uint64}
_WORDS = ("error", "decoder", "described")
"""What many entries have in common: kept once, and named by numbers; -1 is None."""


def arrays_of(entries: Mapping[str, Entry]) -> Arrays:
    """Return entries as arrays, in the order of their paths.

    Raises
    ------
    OverflowError
        If a number is one that no array can hold.
    """
    ordered = sorted(entries.items())
    columns = dict(zip(Entry._fields, zip(*(e for _, e in ordered), strict=True), strict=True))
    arrays = Texts.of(path for path, _ in ordered).to_arrays("paths")
    arrays |= Texts.of(columns["digest"]).to_arrays("digest")
    arrays |= {name: np.array(columns[name], kind) for name, kind in _NUMBERS.items()}
    arrays["gone"] = np.array([-1 if since is None else since for since in columns["gone"]])
    for name in _WORDS:
        arrays |= _numbered(name, columns[name])
    return arrays


def entries_of(arrays: Arrays) -> dict[str, Entry]:
    """Return the entries that ``arrays_of`` made arrays of, by path."""
    columns: dict[str, Iterable[Any]] = {name: arrays[name].tolist() for name in _NUMBERS}
    columns |= {"digest": Texts.from_arrays(arrays, "digest")}
    columns |= {"gone": (None if since < 0 else since for since in arrays["gone"].tolist())}
    columns |= {name: _named(arrays, name) for name in _WORDS}
    facts = zip(*(columns[name] for name in Entry._fields), strict=True)
    return dict(zip(Texts.from_arrays(arrays, "paths"), map(Entry._make, facts), strict=True))


def _numbered(name: str, words: Iterable[str | None]) -> Arrays:
    numbers: dict[str | None, int] = {None: -1}
    found = [numbers.setdefault(word, len(numbers) - 1) for word in words]
    distinct = Texts.of(word for word in numbers if word is not None)
    return {name: np.array(found, np.int64), **distinct.to_arrays(f"{name}.words")}


def _named(arrays: Arrays, name: str) -> Iterator[str | None]:
    words = [*Texts.from_arrays(arrays, f"{name}.words"), None]
    return map(words.__getitem__, arrays[name].tolist())
