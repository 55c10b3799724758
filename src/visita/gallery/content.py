"""The content of one file: its digest, and whether it is still what was found."""

from __future__ import annotations

import hashlib
import os
import stat
from importlib import metadata
from typing import IO

from visita.data.files import open_at_once
from visita.data.pictures import PictureFile
from visita.errors import PassingError, PictureError

CHANGED = "changed or disappeared while it was read; it is tried again at the next sync"
_PIECE = 2**18


def digest_of(file: PictureFile) -> str:
    """Return the hex SHA-256 of a file's content.

    Raises
    ------
    PassingError
        If it cannot be read or is no longer as it was found. The message is the bare reason.
    """
    try:
        with open(file.path, "rb", opener=open_at_once) as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode) or not _same(file, status):
                raise PassingError(CHANGED)
            return _digest(opened, file.size)
    except FileNotFoundError as error:
        raise PassingError(CHANGED) from error
    except OSError as error:
        raise PassingError(f"cannot be read: {error.strerror or error}") from error


def _digest(opened: IO[bytes], size: int) -> str:
    # So many bytes and no more: what the system makes up as it is read may never end.
    digest = hashlib.sha256()
    while size > 0 and (some := opened.read(min(size, _PIECE))):
        digest.update(some)
        size -= len(some)
    return digest.hexdigest()


def is_as_found(file: PictureFile) -> bool:
    """Tell whether the file still has the size and time of change it was found with."""
    try:
        return _same(file, file.path.stat())
    except OSError:
        return False


def can_be_read(file: PictureFile, digest: str) -> bool:
    """Tell whether a file can be read to its end, and is what it was."""
    try:
        return digest_of(file) == digest
    except PictureError:
        return False


def decoder_versions() -> str:
    """Return what decodes pictures here; what failed with other versions is tried again."""
    return ", ".join(f"{name} {_version(name)}" for name in ("visita", "pillow", "pillow-heif"))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "absent"


def _same(file: PictureFile, status: os.stat_result) -> bool:
    return (status.st_size, status.st_mtime_ns, status.st_ino) == (
        file.size,
        file.mtime_ns,
        file.inode,
    )
