"""The journal of a feature store: one JSON line for each batch that is safely on disk.

A line holds the number of rows so far, the ids and the skipped items of the batch, and
a CRC-32 of itself. Only the last line can be torn, by a crash while it was written;
it then counts as never written.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visita.errors import ArtifactError
from visita.types import Skipped

_SEAL = ',"crc32":"%08x"}'
_SEAL_LENGTH = len(_SEAL % 0)


class Journal:
    """The committed batches of one store, in memory and in its file.

    Attributes
    ----------
    rows : dict
        Row of each id, in the order of the rows.
    skipped : dict
        Reason of each item that failed and has not succeeded since.

    Raises
    ------
    ArtifactError
        If a line other than the last is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[str, int] = {}
        self.skipped: dict[str, str] = {}
        self._size = 0
        *lines, _torn = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            batch = _opened(line)
            if batch is None and number == len(lines):
                break
            if batch is None or batch["count"] != len(self.rows) + len(batch["ids"]):
                raise ArtifactError(
                    f"{path} is damaged in line {number}: delete {path.parent.parent} "
                    "and run again to make it anew."
                )
            self._take_in(batch["ids"], batch["skipped"], len(line) + 1)

    def append(self, ids: Sequence[str], skipped: Sequence[Skipped]) -> None:
        """Commit one batch; on return it is on disk."""
        pairs = [(one.item, one.reason) for one in skipped]
        line = _sealed({"count": len(self.rows) + len(ids), "ids": list(ids), "skipped": pairs})
        append_bytes(self.path, line)
        self._take_in(ids, pairs, len(line))

    def drop_torn_line(self) -> None:
        """Cut from the file what a crash left after the last whole line."""
        os.truncate(self.path, self._size)

    def _take_in(self, ids: Sequence[str], skipped: Sequence[Sequence[str]], size: int) -> None:
        first = len(self.rows)
        self.rows.update(zip(ids, range(first, first + len(ids)), strict=True))
        for one in ids:
            self.skipped.pop(one, None)
        self.skipped.update((item, reason) for item, reason in skipped)
        self._size += size


def append_bytes(path: Path, data: bytes) -> None:
    """Add ``data`` to the end of a file and wait until the disk has it."""
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sealed(batch: dict[str, Any]) -> bytes:
    # "surrogatepass" keeps file names that are not valid Unicode exactly as they are.
    text = json.dumps(batch, ensure_ascii=False, separators=(",", ":"))
    body = text[:-1].encode("utf-8", "surrogatepass")
    return body + (_SEAL % zlib.crc32(body)).encode() + b"\n"


def _opened(line: bytes) -> dict[str, Any] | None:
    body, seal = line[:-_SEAL_LENGTH], line[-_SEAL_LENGTH:]
    if seal != (_SEAL % zlib.crc32(body)).encode():
        return None
    batch: dict[str, Any] = json.loads((body + b"}").decode("utf-8", "surrogatepass"))
    return batch
