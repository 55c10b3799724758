"""A disk that remembers every block that was written and every flush, to cut its power anywhere.

A file system lies on a loop device over one file of a FUSE file system, which is this process:
what reaches it is what a disk would be told, in that order. After a cut the disk has all that was
written before the last flush, and of what came later some blocks and not others.
"""

from __future__ import annotations

import ctypes.util
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

MEGABYTES = 48
DISK = "/disk"


def why_not() -> str | None:
    """Return what this machine lacks for it, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, to mount a file system"
    if not Path("/dev/fuse").exists() or not ctypes.util.find_library("fuse"):
        return "needs FUSE (libfuse 2)"
    try:
        import fuse  # noqa: F401, PLC0415 - for this alone
    except (ImportError, OSError):
        return "needs the package fusepy"
    return None


class BlockLog:
    """The disk: ``events`` are (offset, bytes) of each write, and None for each flush."""

    def __init__(self, content: bytes) -> None:
        self.first = content
        self.now = bytearray(content)
        self.events: list[tuple[int, bytes] | None] = []

    def read(self, size: int, offset: int) -> bytes:
        """Return some of the disk."""
        return bytes(self.now[offset : offset + size])

    def write(self, content: bytes, offset: int) -> int:
        """Write to the disk, and remember it."""
        self.now[offset : offset + len(content)] = content
        self.events.append((offset, content))
        return len(content)

    def cut(self, at: int, rng: np.random.Generator, kept: float) -> bytes:
        """Return what the disk holds after a cut before event ``at``.

        ``kept`` is the share of the writes since the last flush that reached it.
        """
        flushed = max((i for i in range(at) if self.events[i] is None), default=0)
        disk = bytearray(self.first)
        for number, event in enumerate(self.events[:at]):
            if event is not None and (number < flushed or rng.random() < kept):
                offset, content = event
                disk[offset : offset + len(content)] = content
        return bytes(disk)


@contextmanager
def logged_disk(folder: Path) -> Iterator[tuple[BlockLog, Path]]:
    """Give the log of a new ext4 file system, and where it is mounted."""
    image, mount, place = folder / "image", folder / "fuse", folder / "disk"
    for one in (mount, place):
        one.mkdir()
    with image.open("wb") as file:
        file.truncate(MEGABYTES * 2**20)
    _run("mkfs.ext4", "-q", image)
    log = BlockLog(image.read_bytes())
    _serve(log, mount)
    with mounted(mount / DISK[1:], place):
        yield log, place
    _run("umount", mount)


@contextmanager
def mounted(image: Path, place: Path) -> Iterator[Path]:
    """Mount an image at a folder for as long as the block runs."""
    _run("mount", "-o", "loop", image, place)
    try:
        yield place
    finally:
        _run("umount", place)


def _serve(log: BlockLog, mount: Path) -> None:
    from fuse import FUSE, FuseOSError, Operations  # noqa: PLC0415

    class Disk(Operations):  # type: ignore[misc, unused-ignore]
        use_ns = True

        def getattr(self, path: str, _handle: int | None = None) -> dict[str, int]:
            if path == DISK:
                return {"st_mode": 0o100600, "st_nlink": 1, "st_size": len(log.now)}
            if path == "/":
                return {"st_mode": 0o040700, "st_nlink": 2}
            raise FuseOSError(errno.ENOENT)

        def read(self, _path: str, size: int, offset: int, _handle: int) -> bytes:
            return log.read(size, offset)

        def write(self, _path: str, content: bytes, offset: int, _handle: int) -> int:
            return log.write(content, offset)

        def fsync(self, *_: object) -> int:
            log.events.append(None)
            return 0

    def serve() -> None:
        FUSE(Disk(), str(mount), foreground=True, nothreads=True, big_writes=True)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    while not (mount / DISK[1:]).exists():
        assert server.is_alive(), "FUSE did not start"
        time.sleep(0.01)


def _run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
