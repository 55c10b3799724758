"""What a long file of sealed lines says, as arrays beside it that are read in one go.

::

    index.jsonl                     the lines, which alone count
    index-<…>-<…>.checkpoint        what they say

It is made from the lines and from nothing else, so it can be lost. A file is never altered: its
name has a checksum of its content, and of what changes when a line is added or the lines are
written anew, so that a reader needs no lock, notices any damage, and sees whether it is of today.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from visita.durable import checksum, checksum_of, write_durably
from visita.progress import say_once

SUFFIX = ".checkpoint"
LONG = 10_000
"""Entries from which on reading their lines takes longer than a glance."""
_TAIL = 64
_TYPES = {"U8": np.uint8, "U64": np.uint64, "I64": np.int64}
Arrays = dict[str, NDArray[Any]]


def mark_of(path: Path) -> bytes:
    """Return what changes when a line is added to a file, or the file is written anew."""
    with suppress(OSError), path.open("rb") as file:
        status = os.fstat(file.fileno())
        file.seek(max(0, status.st_size - _TAIL))
        return b"%d %d %b" % (status.st_size, status.st_mtime_ns, file.read())
    return b""


def has_checkpoint(lines: Path) -> bool:
    """Tell whether there is one of a file as it is now."""
    return any(_made(lines))


def read_checkpoint(lines: Path) -> Arrays | None:
    """Return what a file of lines says now; None if no checkpoint does, or it is damaged."""
    for path in _made(lines):
        with suppress(OSError, ValueError):  # a writer took it away, or what is there is empty
            content = np.memmap(path, np.uint8, mode="r")
            if checksum(content.data) == _sum_in(path):
                return _arrays_in(content)
            say_once(f"{path} is damaged: the lines that it is made from are read")
    return None


def write_checkpoint(lines: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Keep what a file of lines, which nobody else writes to, says now.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    content = save(dict(arrays))
    made = lines.with_name(f"{_start(lines)}{checksum(mark_of(lines))}-{checksum(content)}{SUFFIX}")
    write_durably(made, content)
    drop_checkpoints(lines, but=made)


def damaged_checkpoints(place: Path) -> list[str]:
    """Return the names of those below a folder that are not as they were written; delete them."""
    damaged = [path for path in place.rglob(f"*{SUFFIX}") if not _is_sound(path)]
    for path in damaged:
        path.unlink()
    return [path.name for path in damaged]


def drop_checkpoints(lines: Path, but: Path | None = None) -> None:
    """Delete the checkpoints of a file of lines."""
    for path in set(lines.parent.glob(f"{_start(lines)}*{SUFFIX}")) - {but}:
        with suppress(OSError):  # Windows keeps what a reader has open
            path.unlink()


def _made(lines: Path) -> Iterator[Path]:
    return lines.parent.glob(f"{_start(lines)}{checksum(mark_of(lines))}-*{SUFFIX}")


def _is_sound(path: Path) -> bool:
    return checksum_of(path) == _sum_in(path)


def _sum_in(path: Path) -> str:
    return path.stem.rpartition("-")[2]


def _arrays_in(content: NDArray[np.uint8]) -> Arrays:
    """Return the arrays in what ``safetensors`` made of them, without copying them."""
    start = 8 + int(content[:8].view("<u8")[0])
    parts = json.loads(bytes(content[8:start]))
    return {name: _array(content[start:], **facts) for name, facts in parts.items()}


def _array(
    content: NDArray[np.uint8], dtype: str, shape: Sequence[int], data_offsets: Sequence[int]
) -> NDArray[Any]:
    return content[slice(*data_offsets)].view(_TYPES[dtype]).reshape(shape)


def _start(lines: Path) -> str:
    return f"{lines.stem}-"
