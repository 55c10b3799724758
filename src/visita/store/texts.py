"""Many strings in one array of bytes: a million are opened at once, and each decoded when read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self, overload

import numpy as np
from numpy.typing import NDArray

_ERRORS = "surrogatepass"
"""Keeps file names that are not valid Unicode exactly as they are."""


@dataclass(frozen=True, eq=False, repr=False)
class Texts(Sequence[str]):
    """A sequence of n strings.

    Attributes
    ----------
    joined : uint8 (bytes,)
        All of them in UTF-8, one after the other.
    ends : int64 (n,)
        Where each ends.
    start : str
        What each begins with, beside that.
    """

    joined: NDArray[np.uint8]
    ends: NDArray[np.int64]
    start: str = ""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Return some strings as one."""
        parts = [text.encode("utf-8", _ERRORS) for text in texts]
        ends = np.cumsum(np.fromiter(map(len, parts), np.int64, len(parts)))
        return cls(np.frombuffer(b"".join(parts), np.uint8), ends)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]], name: str) -> Self:
        """Return what ``to_arrays`` made arrays of."""
        return cls(arrays[name], arrays[f"{name}.ends"])

    def to_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the strings, less what each begins with, as arrays that go by a name."""
        return {name: self.joined, f"{name}.ends": self.ends}

    def beginning(self, start: str) -> Self:
        """Return each with something in front of it."""
        return replace(self, start=start + self.start)

    def only(self, kept: NDArray[np.bool_]) -> Self:
        """Return those that are ``kept``, (n,)."""
        if kept.all():
            return self
        sizes = np.diff(self.ends, prepend=0)
        return replace(
            self, joined=self.joined[np.repeat(kept, sizes)], ends=np.cumsum(sizes[kept])
        )

    def inserted(self, at: NDArray[np.int64], texts: Texts) -> Self:
        """Return the strings with others in between, each before the one at its place, int64 (m,).

        Places ascend; n is the end.
        """
        if not len(texts):
            return self
        sizes, more = (np.diff(each.ends, prepend=0) for each in (self, texts))
        starts = np.append(self.ends - sizes, len(self.joined))[at]
        joined = np.insert(self.joined, np.repeat(starts, more), texts.joined)
        return replace(self, joined=joined, ends=np.cumsum(np.insert(sizes, at, more)))

    def __len__(self) -> int:
        return len(self.ends)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> list[str]: ...
    def __getitem__(self, row: Any) -> Any:
        if isinstance(row, slice):
            return [self[each] for each in range(*row.indices(len(self)))]
        at = range(len(self))[row]
        first = self.ends[at - 1] if at else 0
        return self.start + self.joined[first : self.ends[at]].tobytes().decode("utf-8", _ERRORS)

    def __iter__(self) -> Iterator[str]:
        whole, start, first = self.joined.tobytes(), self.start, 0
        for end in self.ends.tolist():
            yield start + whole[first:end].decode("utf-8", _ERRORS)
            first = end

    def __eq__(self, other: object) -> bool:
        """Tell whether another sequence holds the same strings."""
        return isinstance(other, Sequence) and list(self) == list(other)

    def __hash__(self) -> int:
        """Return what is equal where the strings are."""
        return hash(tuple(self))

    def __repr__(self) -> str:
        """Return the strings."""
        return repr(list(self))


def find(wanted: Texts, among: Texts) -> NDArray[np.int64]:
    """Return where each of n strings is among others, all different, int64 (n,); -1: nowhere."""
    here, there = _in_eights(wanted), _in_eights(among)
    if here is not None and there is not None and here.shape[1] == there.shape[1] >= 2:
        count = min(len(here), len(there))
        elsewhere = np.ones(len(here), np.bool_)  # most are where they were, mostly
        elsewhere[:count] = (here[:count] != there[:count]).any(axis=1)
        found, rest = np.arange(len(here)), np.flatnonzero(elsewhere)
        if len(rest):
            found[rest] = _matching(_keys(here[rest]), _keys(there))
        if (there[found[rest]] == here[rest]).all():
            return found
    places = {text: place for place, text in enumerate(among)}
    return np.fromiter((places.get(text, -1) for text in wanted), np.int64, len(wanted))


def _in_eights(texts: Texts) -> NDArray[np.uint64] | None:
    """Return eight bytes a number, (n, …), where all are of one length that they divide."""
    width = int(texts.ends[0]) if len(texts) else 0
    if not width or width % 8 or (np.diff(texts.ends, prepend=0) != width).any():
        return None
    return texts.joined.view(np.uint64).reshape(len(texts), -1)


def _keys(rows: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return numbers that differ where the ends do, but for chance."""
    return np.asarray(rows[:, -2] * np.uint64(0x9E3779B97F4A7C15) + rows[:, -1])


def _matching(wanted: NDArray[np.uint64], among: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return where each of some numbers is among others, if it is there."""
    first, second = np.argsort(wanted), np.argsort(among)
    # Both in order: numbers that are looked for here and there cost ten times as much.
    near = np.searchsorted(among[second], wanted[first])
    found = np.empty(len(wanted), np.int64)
    found[first] = second[np.minimum(near, len(second) - 1)]
    return found
