"""A hostile author's hand: an artifact changed, and all its hashes made right again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from visita.artifact import MANIFEST, SEAL, sha256_of, write_sealed

GONE: Any = ...
"""The value of an entry that is taken away."""


def forge(folder: Path, **changes: Any) -> None:
    """Change entries of a manifest, and make it and those of its parts vouch for what is there."""
    inner = sorted(folder.rglob(MANIFEST), key=lambda path: -len(path.parts))
    for path in inner:
        content = json.loads(path.read_text("utf-8"))
        content.pop(SEAL, None)
        if path.parent == folder:
            content |= changes
        if content.get("files") is not changes.get("files", GONE):
            content["files"] = _hashes(path.parent)
        write_sealed(path, {key: value for key, value in content.items() if value is not GONE})


def _hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): sha256_of(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MANIFEST
    }
