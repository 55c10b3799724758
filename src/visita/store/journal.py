"""The journal of a feature store: one sealed line for each batch that is safely on disk.

A line holds the number of rows so far, the ids and the skipped items of the batch, and a
checksum of each row of each column. Where a line is damaged, its rows belong to no one and are
made again; the others stay.

Files that show their own damage: JSON objects, one a line, each with a seal.

A line ends with a CRC-32 of itself. What a crash leaves of a line that was being written has
no end, and counts as never written; a whole line with another checksum is damage.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.durable import sync_handle, write_durably
from visita.store.checkpoint import LONG, Arrays, has_checkpoint, read_checkpoint, write_checkpoint
from visita.store.texts import Texts
from visita.types import Skipped

_LINE_SEAL = ',"crc32":"%08x"}'
_LINE_SEAL_LENGTH = len(_LINE_SEAL % 0)


@dataclass(frozen=True)
class Lines:
    """What a file of sealed lines holds.

    Attributes
    ----------
    whole : list of dict
        The objects of all lines that are as they were written, in their order.
    damaged : int
        How many others there are.
    torn : int
        Bytes of one that has no end.
    """

    whole: list[dict[str, Any]]
    damaged: int
    torn: int


def read_lines(path: Path) -> Lines:
    """Return the lines of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    *lines, torn = path.read_bytes().split(b"\n")
    opened = [_opened(line) for line in lines]
    values = [value for value in opened if value is not None]
    return Lines(values, len(opened) - len(values), len(torn))


def each_line(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield the object of each line of a file that may be large; None for one that is damaged.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):  # else it was never written to its end
                yield _opened(line[:-1])


def last_lines(path: Path) -> Iterator[dict[str, Any] | None]:
    """Yield as ``each_line``, the last line first."""
    with path.open("rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            end = content.rfind(b"\n")  # what comes after it was never written to its end
            while end >= 0:
                start = content.rfind(b"\n", 0, end)
                yield _opened(content[start + 1 : end])
                end = start


def is_damaged(path: Path) -> bool:
    """Tell whether a line of a file is not as it was written; raises as ``each_line``."""
    return any(line is None for line in each_line(path))


def append_line(path: Path, value: Mapping[str, Any]) -> None:
    """Add a line; on return it is on disk."""
    append_bytes(path, _sealed(value))


def write_lines(path: Path, values: Iterable[Mapping[str, Any]]) -> None:
    """Put lines in the place of all there are, in one step that is then on disk."""
    write_durably(path, b"".join(map(_sealed, values)))


def mend_lines(path: Path) -> None:
    """Take out of a file what a crash left at its end, and the lines that are damaged."""
    lines = read_lines(path)
    if lines.damaged:
        write_lines(path, lines.whole)
    elif lines.torn:
        os.truncate(path, path.stat().st_size - lines.torn)


def append_bytes(path: Path, data: bytes) -> None:
    """Add ``data`` to the end of a file and wait until the disk has it."""
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        sync_handle(file.fileno())


def _sealed(value: Mapping[str, Any]) -> bytes:
    # "surrogatepass" keeps file names that are not valid Unicode exactly as they are.
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    body = text[:-1].encode("utf-8", "surrogatepass")
    return body + (_LINE_SEAL % zlib.crc32(body)).encode() + b"\n"


def _opened(line: bytes) -> dict[str, Any] | None:
    body, seal = line[:-_LINE_SEAL_LENGTH], line[-_LINE_SEAL_LENGTH:]
    if seal != (_LINE_SEAL % zlib.crc32(body)).encode():
        return None
    value: dict[str, Any] = json.loads((body + b"}").decode("utf-8", "surrogatepass"))
    return value


Sums = NDArray[np.uint64]
"""XXH3 of some rows, (rows, columns)."""


class Journal:
    """The committed batches of one store, in memory and in its file.

    Attributes
    ----------
    skipped : dict
        Reason of each item that failed and has not succeeded since.
    count : int
        Rows on disk, those that belong to no id among them.
    starts : list of int
        First row of each batch.
    damaged : int
        Lines that are not as they were written.

    Raises
    ------
    OSError
        If the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped: dict[str, str] = {}
        self.count = self.damaged = self._torn = 0
        self.starts: list[int] = []
        self._sums: list[tuple[int, Sums]] = []
        self._table: tuple[Sums, NDArray[np.bool_]] | None = None
        self._kept = Texts.of(()), np.empty(0, np.int64)
        if kept := read_checkpoint(path):
            self._restore(kept)
        else:
            self._read()

    def _restore(self, kept: Arrays) -> None:
        names = (Texts.from_arrays(kept, name) for name in ("skipped", "reasons"))
        self.skipped = dict(zip(*names, strict=True))
        self.starts = kept["starts"].tolist()
        self.count = len(kept["sums"])
        self._sums = [(0, kept["sums"])]
        self._kept = Texts.from_arrays(kept, "ids"), kept["rows"]

    def _read(self) -> None:
        lines = read_lines(self.path)
        self.damaged, self._torn = lines.damaged, lines.torn
        for batch in lines.whole:
            self._take_in(batch)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Row of each id, in the order of the rows."""
        ids, rows = self._kept
        return dict(zip(ids, rows.tolist(), strict=True))

    def table(self) -> tuple[Texts, NDArray[np.int64]]:
        """Return all ids and their rows, (n,)."""
        if "rows" not in self.__dict__:
            return self._kept
        return Texts.of(self.rows), np.fromiter(self.rows.values(), np.int64, len(self.rows))

    @property
    def is_quick(self) -> bool:
        """Whether it is opened as quickly as it can be."""
        return self.count < LONG or has_checkpoint(self.path)

    def keep(self, columns: int) -> None:
        """Write a checkpoint of a journal that is sound, where it is long and has none.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        if self.is_quick:
            return
        sums, known = self.sums(columns)
        if known.all():
            ids, rows = self.table()
            arrays = {"rows": rows, "starts": np.array(self.starts, np.int64), "sums": sums}
            reasons = Texts.of(self.skipped.values()).to_arrays("reasons")
            skipped = Texts.of(self.skipped).to_arrays("skipped")
            write_checkpoint(self.path, arrays | ids.to_arrays("ids") | skipped | reasons)

    def append(self, ids: Sequence[str], sums: Sums, skipped: Sequence[Skipped] = ()) -> None:
        """Commit one batch; on return it is on disk."""
        pairs = [(problem.item, problem.reason) for problem in skipped]
        self._commit({"count": self.count + len(ids), "ids": list(ids), "skipped": pairs}, sums)

    def seal(self, first: int, sums: Sums) -> None:
        """Add the checksums of rows from ``first`` that were written without."""
        self._commit({"count": self.count, "ids": [], "skipped": [], "first": first}, sums)

    def drop(self, ids: Sequence[str]) -> None:
        """Take ids out; their rows belong to no one then."""
        self._commit({"count": self.count, "ids": [], "skipped": [], "dropped": list(ids)})

    def mend(self) -> None:
        """Take out of the file what a crash or damage left in it."""
        if self.damaged or self._torn:
            mend_lines(self.path)
        self.damaged = self._torn = 0

    def sums(self, columns: int) -> tuple[Sums, NDArray[np.bool_]]:
        """Return the checksums of all rows, (count, columns), and of which rows they are known."""
        if self._table is None:
            sums, known = np.zeros((self.count, columns), np.uint64), np.zeros(self.count, np.bool_)
            for first, batch_sums in self._sums:
                sums[first : first + len(batch_sums)] = batch_sums
                known[first : first + len(batch_sums)] = True
            self._table = sums, known
        return self._table

    def _commit(self, batch: dict[str, Any], sums: Sums | None = None) -> None:
        if sums is not None:
            batch |= {"sums": sums.astype(">u8").tobytes().hex(), "width": sums.shape[1]}
        append_line(self.path, batch)
        self._take_in(batch)

    def _take_in(self, batch: dict[str, Any]) -> None:
        ids, self.count, self._table = batch["ids"], batch["count"], None
        first = batch.get("first", self.count - len(ids))
        self.starts.append(first)
        for key in batch.get("dropped", ()):
            self.rows.pop(key, None)
        for row, key in enumerate(ids, first):
            self.rows.pop(key, None)  # lest it keep the place of a row that was lost
            self.rows[key] = row
            self.skipped.pop(key, None)
        self.skipped.update((item, reason) for item, reason in batch["skipped"])
        if "sums" in batch:
            sums = np.frombuffer(bytes.fromhex(batch["sums"]), ">u8").astype(np.uint64)
            self._sums.append((first, sums.reshape(-1, batch["width"])))
