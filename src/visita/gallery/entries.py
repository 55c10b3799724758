"""What a gallery's catalogue says of a file, and of all files as arrays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Iterator, Mapping, MutableMapping, ValuesView
from functools import cached_property
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

    def only(self, kept: NDArray[np.bool_]) -> Self:
        """Return those that are ``kept``, (n,)."""
        return type(self)(self.paths.only(kept), self.digests.only(kept))


_NUMBERS = {"size": np.int64, "mtime_ns": np.int64, "inode": np.uint64}
_WORDS = ("error", "decoder", "described")
"""What many entries have in common: kept once, and named by numbers; -1 is None."""


class Entries(MutableMapping[str, Entry]):
    """Entries by path. Those that come as arrays stay arrays, so a million are opened at once.

    Attributes
    ----------
    arrays : Arrays
        What ``to_arrays`` made, as it was given.
    """

    def __init__(self, arrays: Arrays | None = None) -> None:
        self.arrays = _arrays_of({}) if arrays is None else arrays
        self._paths, self._digests = (Texts.from_arrays(self.arrays, n) for n in _TEXTS)
        self._kept = np.ones(len(self._paths), np.bool_)
        self._since: dict[str, Entry] = {}

    def copy(self) -> Self:
        """Return the same entries, to be changed apart."""
        made = type(self)(self.arrays)
        made._kept, made._since = self._kept.copy(), dict(self._since)
        return made

    @cached_property
    def _places(self) -> dict[str, int]:
        return {path: row for row, path in enumerate(self._paths)}

    @cached_property
    def _words(self) -> dict[str, list[str | None]]:
        return {name: [*Texts.from_arrays(self.arrays, f"{name}.words"), None] for name in _WORDS}

    def rows(self, paths: Iterable[str]) -> NDArray[np.int64]:
        """Return where in ``arrays`` the entry of each path is, (n,); -1: it is not there."""
        found = np.fromiter((self._places.get(path, -1) for path in paths), np.int64)
        return np.where(self._kept[found], found, -1) if len(self._kept) else found

    def _row(self, path: object) -> int:
        row = self._places.get(path, -1)  # type: ignore[call-overload]
        return row if row >= 0 and self._kept[row] else -1

    def __len__(self) -> int:
        return int(np.count_nonzero(self._kept)) + len(self._since)

    def __iter__(self) -> Iterator[str]:
        yield from self._paths.only(self._kept)
        yield from self._since

    def __contains__(self, path: object) -> bool:
        return path in self._since or self._row(path) >= 0

    def __getitem__(self, path: str) -> Entry:
        if path in self._since:
            return self._since[path]
        if (row := self._row(path)) < 0:
            raise KeyError(path)
        size, mtime_ns, inode = (int(self.arrays[name][row]) for name in _NUMBERS)
        error, decoder, described = (self._words[n][self.arrays[n][row]] for n in _WORDS)
        gone = None if (since := int(self.arrays["gone"][row])) < 0 else since
        return Entry(size, mtime_ns, inode, self._digests[row], error, decoder, gone, described)

    def __setitem__(self, path: str, entry: Entry) -> None:
        if (row := self._row(path)) >= 0:
            self._kept[row] = False
        self._since[path] = entry

    def __delitem__(self, path: str) -> None:
        if (row := self._row(path)) >= 0:
            self._kept[row] = False
        else:
            del self._since[path]

    def _all(self) -> dict[str, Entry]:
        columns: dict[str, Iterable[Any]] = {n: self.arrays[n].tolist() for n in _NUMBERS}
        columns |= {"digest": self._digests}
        columns |= {"gone": (None if g < 0 else g for g in self.arrays["gone"].tolist())}
        columns |= {n: map(self._words[n].__getitem__, self.arrays[n].tolist()) for n in _WORDS}
        facts = zip(*(columns[name] for name in Entry._fields), strict=True)
        known = zip(self._paths, map(Entry._make, facts), self._kept.tolist(), strict=True)
        return {path: entry for path, entry, kept in known if kept} | self._since

    def items(self) -> ItemsView[str, Entry]:
        """Return paths with their entries, made in one go."""
        return self._all().items()

    def values(self) -> ValuesView[Entry]:
        """Return the entries, made in one go."""
        return self._all().values()

    def digests(self) -> set[str]:
        """Return the digests of all."""
        return {*self._digests.only(self._kept), *(e.digest for e in self._since.values())}

    def shown(self) -> Shown:
        """Return the pictures that are there."""
        there = (self.arrays["error"] < 0) & (self.arrays["gone"] < 0) & self._kept
        known = Shown(self._paths, self._digests).only(there)
        since = sorted(
            (path, entry.digest) for path, entry in self._since.items() if entry.is_there
        )
        at = _places_among(known.paths, (path for path, _ in since))
        return Shown(
            known.paths.inserted(at, Texts.of(path for path, _ in since)),
            known.digests.inserted(at, Texts.of(digest for _, digest in since)),
        )

    def to_arrays(self) -> Arrays:
        """Return all as arrays, in the order of their paths.

        Raises
        ------
        OverflowError
            If a number is one that no array can hold.
        """
        since = _arrays_of(self._since)
        paths = self._paths.only(self._kept)
        at = _places_among(paths, Texts.from_arrays(since, "paths"))
        arrays: Arrays = {}
        for name, known in zip(_TEXTS, (paths, self._digests.only(self._kept)), strict=True):
            arrays |= known.inserted(at, Texts.from_arrays(since, name)).to_arrays(name)
        for name in (*_NUMBERS, "gone"):
            arrays[name] = np.insert(self.arrays[name][self._kept], at, since[name])
        for name in _WORDS:
            words, new = (Texts.from_arrays(a, f"{name}.words") for a in (self.arrays, since))
            numbers = {word: number for number, word in enumerate(words)}
            renamed = np.array([*(numbers.setdefault(word, len(numbers)) for word in new), -1])
            inserted = np.insert(self.arrays[name][self._kept], at, renamed[since[name]])
            arrays |= _named(name, Texts.of(numbers), inserted)
        return arrays


_TEXTS = ("paths", "digest")


def _places_among(paths: Texts, new: Iterable[str]) -> NDArray[np.int64]:
    """Return before which of some paths, which are in order, each of some others comes."""
    return np.array([bisect_left(paths, path) for path in new], np.int64)


def _arrays_of(entries: Mapping[str, Entry]) -> Arrays:
    ordered = sorted(entries.items())
    columns: dict[str, list[Any]] = {
        name: [entry[at] for _, entry in ordered] for at, name in enumerate(Entry._fields)
    }
    arrays = Texts.of(path for path, _ in ordered).to_arrays("paths")
    arrays |= Texts.of(columns["digest"]).to_arrays("digest")
    arrays |= {name: np.array(columns[name], kind) for name, kind in _NUMBERS.items()}
    gone = (-1 if since is None else since for since in columns["gone"])
    arrays["gone"] = np.fromiter(gone, np.int64)
    for name in _WORDS:
        numbers: dict[str | None, int] = {None: -1}
        found = [numbers.setdefault(word, len(numbers) - 1) for word in columns[name]]
        distinct = Texts.of(word for word in numbers if word is not None)
        arrays |= _named(name, distinct, np.array(found, np.int64))
    return arrays


def _named(name: str, words: Texts, numbers: NDArray[np.int64]) -> Arrays:
    """Return a column of words as arrays, of those words that one of its numbers names."""
    used = np.zeros(len(words) + 1, np.bool_)
    used[numbers] = True  # -1 is the last
    renumbered = np.append(np.cumsum(used[:-1]) - 1, -1)
    return {name: renumbered[numbers], **words.only(used[:-1]).to_arrays(f"{name}.words")}
