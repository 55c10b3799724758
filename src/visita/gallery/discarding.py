"""Deleting folders of a gallery in one step, however it ends."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

_REMOVED = ".removed-"


def discard(folder: Path) -> None:
    """Delete a folder; killed on the way, it leaves all of it or, out of sight, some.

    Raises
    ------
    OSError
        If it cannot be deleted.
    """
    remove_leftovers(folder.parent)
    aside = Path(tempfile.mkdtemp(prefix=_REMOVED, dir=folder.parent))
    folder.replace(aside / folder.name)
    shutil.rmtree(aside)


def remove_leftovers(place: Path) -> None:
    """Delete what others that were killed had begun to delete or to write in ``place``."""
    for path in place.glob(f"{_REMOVED}*"):
        shutil.rmtree(path, ignore_errors=True)
