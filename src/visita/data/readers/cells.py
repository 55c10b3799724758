"""Pictures that a cell of a table names or holds."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from visita.data.readers.bounds import Bounds
from visita.data.unpacked import MOST_PICTURE, Unpacked
from visita.errors import DataError


class UnusableError(DataError):
    """What makes one row no use."""


class Pictures:
    """Finds the pictures that cells name, and unpacks those that they hold."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._unpacked = Unpacked()
        self._names: dict[str, Path] = {}

    def of(self, cell: Any, bases: Sequence[Path]) -> tuple[str, Path]:
        """Return id and file of the picture in a cell, which names it from one of ``bases``.

        Raises
        ------
        UnusableError
            If the cell holds none.
        """
        match cell:
            case str() | os.PathLike() if str(cell).strip():
                return self._bounds.find(str(cell), bases)
            case bytes() if cell:
                return self._keep("", cell)
            case {"bytes": bytes() as content, **rest} if content:
                return self._keep(str(rest.get("path") or ""), content)
            case {"path": str() as name} if name.strip():
                return self._bounds.find(name, bases)
        raise UnusableError("names no picture")

    def _keep(self, name: str, content: bytes) -> tuple[str, Path]:
        if len(content) > MOST_PICTURE:
            raise UnusableError(f"holds a picture of more than {MOST_PICTURE:,} bytes")
        file = self._unpacked.keep(content, name)
        wanted = name or file.stem[:16]
        if self._names.setdefault(wanted, file) != file:
            wanted = f"{name} {file.stem[:16]}"
        return wanted, file
