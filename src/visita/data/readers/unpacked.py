"""Pictures that lie inside tables and archives, unpacked to files that their content names."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from visita.data.pictures import is_picture_name
from visita.errors import DataError
from visita.home import cache_home

MOST_PICTURE = 200_000_000
"""Bytes of one picture."""
MOST_BYTES = 200_000_000_000
MOST_PICTURES = 5_000_000


def pictures_home() -> Path:
    """Return the folder of unpacked pictures."""
    return cache_home() / "pictures"


class Unpacked:
    """Keeps pictures in ``pictures`` below the cache, each once, whatever the data call it.

    No name from the data becomes part of a path. What is deleted there comes back when the
    data are opened again.
    """

    def __init__(self) -> None:
        self.folder = pictures_home()
        self._bytes = 0
        self._kept: set[Path] = set()

    def keep(self, content: bytes, name: str = "") -> Path:
        """Return the file that holds ``content``; ``name`` gives its suffix, if a picture's.

        Raises
        ------
        DataError
            If the pictures of a data set are too many or too large together, or cannot be
            written.
        """
        digest = hashlib.sha256(content).hexdigest()
        suffix = Path(name).suffix.lower() if is_picture_name(name) else ""
        file = self.folder / digest[:2] / f"{digest}{suffix}"
        if file not in self._kept:
            self._count(file, len(content))
            try:
                _write(content, file)
            except OSError as error:
                raise DataError(
                    f"Pictures inside the data cannot be unpacked to {self.folder}: "
                    f"{error.strerror}. VISITA_HOME names another place."
                ) from error
        return file

    def _count(self, file: Path, size: int) -> None:
        self._kept.add(file)
        self._bytes += size
        if len(self._kept) > MOST_PICTURES or self._bytes > MOST_BYTES:
            raise DataError(
                f"The data hold more than {MOST_PICTURES:,} pictures or {MOST_BYTES:,} bytes of "
                f"them; part them."
            )


def _write(content: bytes, file: Path) -> None:
    if file.is_file() and file.stat().st_size == len(content):
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        draft.write_bytes(content)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)
