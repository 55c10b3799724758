"""The right to write to a folder: one process has it at a time, and others can say who."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from visita.errors import ArtifactError, UnwritableError
from visita.progress import say

LOCK = ".lock"
HOLDER = ".writer"
_held: set[str] = set()
"""What this process has written into the ``HOLDER`` of each folder that it may write to."""


class WriterLock:
    """The right to write to ``folder``, which exists; not held yet.

    It ends with the process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = FileLock(folder / LOCK, thread_local=False)
        # Processes of two containers may have one number.
        self._name = f"{os.getpid()} {secrets.token_hex(8)}"

    def try_acquire(self, seconds: float = 0) -> bool:
        """Take the right if it is free within some seconds, and tell whether it was.

        Raises
        ------
        UnwritableError
            If the folder cannot be written.
        """
        try:
            self._lock.acquire(timeout=seconds)
            (self.folder / HOLDER).write_text(self._name, "ascii")
        except Timeout:
            return False
        except OSError as error:
            self._lock.release()
            raise unwritable(self.folder, error) from error
        _held.add(self._name)
        return True

    def acquire(self) -> None:
        """Take the right; while another process has it, say so on stderr and wait.

        Raises
        ------
        UnwritableError
            If the folder cannot be written.
        ArtifactError
            If this process has the right already and would wait for itself.
        """
        if self.try_acquire():
            return
        if _holder(self.folder) in _held:
            raise ArtifactError(
                f"This process is writing to {self.folder} already: close it first."
            )
        say(f"another process is writing to {self.folder}: waiting for {self.holder()}")
        self.try_acquire(-1)

    def holder(self) -> str:
        """Return who has the right, as in "process 4711"."""
        return f"process {_holder(self.folder).partition(' ')[0] or 'of an unknown number'}"

    def check(self) -> None:
        """Make sure that what this process has the right to write to is still there.

        Raises
        ------
        ArtifactError
            If the folder was removed, or removed and made anew.
        """
        if _holder(self.folder) != self._name:
            raise ArtifactError(
                f"{self.folder} was removed while it was written to: what was in it is gone. "
                "Run again to make it anew."
            )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write something to the folder within the block.

        Raises
        ------
        ArtifactError
            If the folder was removed meanwhile.
        UnwritableError
            If the disk refuses.
        """
        self.check()
        try:
            yield
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def release(self) -> None:
        """Let another process write."""
        _held.discard(self._name)
        if self._lock.is_locked and _holder(self.folder) == self._name:
            with suppress(OSError):
                (self.folder / HOLDER).unlink()
        self._lock.release()


def unwritable(folder: Path, error: OSError) -> UnwritableError:
    """Return the error to raise for a folder that the system refuses to write to."""
    reason = error.strerror or str(error) or type(error).__name__
    return UnwritableError(
        f"{folder} cannot be written ({reason}). What it held is safe: make room or choose "
        "another folder, then run again.",
        reason,
    )


def _holder(folder: Path) -> str:
    try:
        return (folder / HOLDER).read_text("ascii", "replace").strip()
    except OSError:
        return ""
