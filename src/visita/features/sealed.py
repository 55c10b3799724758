"""Files that show their own damage: JSON objects, one a line, each with a seal.

A line ends with a CRC-32 of itself. What a crash leaves of a line that was being written has
no end, and counts as never written; a whole line with another checksum is damage.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from visita.durable import write_durably

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
    whole = [value for value in opened if value is not None]
    return Lines(whole, len(opened) - len(whole), len(torn))


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
        os.fsync(file.fileno())


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
