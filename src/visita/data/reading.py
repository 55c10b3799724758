"""Reading files that a stranger may have written: regular ones, up to a size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from visita.data.pictures import printable
from visita.errors import DataError


def read_limited(path: Path, most: int) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    DataError
        If it cannot be read, holds more than ``most`` bytes, or is a device or a pipe, which
        may never end.
    """
    name = printable(str(path))
    try:
        with open(path, "rb", opener=open_at_once) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise DataError(f"{name} is not a regular file; name a file on disk.")
            content = file.read(most + 1)
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise DataError(f"{name!r} is not a path: {error}.") from error
    if len(content) > most:
        raise DataError(f"{name} is larger than {most:,} bytes, the most that is read.")
    return content


def open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for the writer of a pipe, who may never come."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
