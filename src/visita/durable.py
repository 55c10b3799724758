"""What outlives a power cut, and what finds the damage that a disk does.

A rename is not on disk because it was made, nor are the bytes of the file that it names: each
file and each folder has to be waited for. And a bit that flips on disk is found by no one but
by who counted before.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import xxhash

if sys.platform != "win32":
    import fcntl


def checksum(content: bytes | memoryview) -> str:
    """Return 16 hex digits (XXH3) that change when a byte does, by fault and not by intent.

    It runs as fast as memory is read; what has to hold against intent is SHA-256's.
    """
    return xxhash.xxh3_64_hexdigest(content)


def checksum_of(path: Path) -> str:
    """Return the ``checksum`` of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_64).hexdigest()


def sync_handle(handle: int) -> None:
    """Wait until the disk has what was written to an open file."""
    if sys.platform == "darwin":  # fsync leaves it in the memory of the drive there
        with suppress(OSError):  # some network file systems know only the other
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
            return
    os.fsync(handle)


def sync_file(path: Path) -> None:
    """Wait until the disk has the bytes of a file."""
    _sync(path, os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)


def sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder (where the system can do that)."""
    if sys.platform != "win32":
        try:
            _sync(folder, os.O_RDONLY)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
                raise


def sync_tree(folder: Path) -> None:
    """Wait until the disk has every file and folder below ``folder``, and their names."""
    for place, _, files in os.walk(folder, topdown=False):
        for name in files:
            sync_file(Path(place, name))
        sync_folder(Path(place))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it where they are missing, and wait until the disk has them."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that it is the old one or the whole new one, on return the new one."""
    with draft_beside(path) as folder:
        draft = folder / path.name
        draft.write_bytes(content)
        sync_file(draft)
        draft.replace(path)
        sync_folder(path.parent)


@contextmanager
def draft_beside(place: Path) -> Iterator[Path]:
    """Give a new folder beside ``place`` to write what will replace it; deleted at the end.

    What killed writers left of theirs is deleted first: a live one holds a lock on its own.
    """
    prefix = f".{place.name}.draft-"
    for path in place.parent.glob(f"{glob.escape(prefix)}*"):
        with _lock(path) as abandoned:
            if abandoned:
                shutil.rmtree(path, ignore_errors=True)
    with _new_folder(place.parent, prefix) as draft:
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


@contextmanager
def _new_folder(parent: Path, prefix: str) -> Iterator[Path]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with _lock(folder, wait=True):
            if folder.is_dir():  # else it was taken for abandoned before it was locked
                yield folder
                return


@contextmanager
def _lock(folder: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold a lock on a folder, wherever it moves, and tell whether it could be had.

    It ends with the process, however that ends. Where the system has none, no draft counts as
    abandoned.
    """
    handle = None
    try:
        if sys.platform != "win32":
            handle = os.open(folder, os.O_RDONLY)
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        held = handle is not None
    except OSError:
        held = False
    try:
        yield held
    finally:
        if handle is not None:
            os.close(handle)


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        sync_handle(handle)
    finally:
        os.close(handle)
