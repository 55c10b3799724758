"""The card of a gallery: which folder it is of."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from visita.data.pictures import printable
from visita.errors import ArtifactError, DamagedError
from visita.home import data_home
from visita.jsonfile import read_sealed, write_sealed

FORMAT = 2
"""Format 1 had no seal, and its catalogue in SQLite."""
CARD = "gallery.json"


@dataclass(frozen=True, slots=True)
class Card:
    """What is written on it: the folder, with what UTF-8 cannot hold escaped, and the format."""

    folder: str
    format: int


def galleries_home(home: str | Path | None) -> Path:
    """Return the folder that holds all galleries below ``home``, or the user's."""
    return Path(home or data_home()) / "galleries"


def gallery_name(folder: Path) -> str:
    """Return the name of the gallery of a folder, which is absolute and without links."""
    slug = re.sub(r"[^\w-]+", "-", folder.name.lower()).strip("-")[:40] or "pictures"
    return f"{slug}-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]}"


def read_card(place: Path) -> Card:
    """Return the card of the gallery in ``place``.

    Raises
    ------
    DamagedError
        If it is missing or not as it was written.
    ArtifactError
        If the gallery was written by a newer visita.
    """
    card = read_sealed(place / CARD)
    version, folder = card.get("format"), card.get("folder")
    if not isinstance(version, int) or not isinstance(folder, str):
        raise DamagedError(f"{place / CARD} is damaged: it is no card of a gallery.")
    if version > FORMAT:
        raise ArtifactError(f"{place} was written by a newer visita; upgrade to use it.")
    return Card(folder, version)


def write_card(place: Path, folder: Path) -> None:
    """Write the card of a gallery; on return it is on disk."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    write_sealed(
        place / CARD, {"format": FORMAT, "folder": printable(str(folder)), "created": created}
    )
