"""What is in a gallery's folder now, found without reading any picture."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Self

from visita.data.pictures import SUFFIXES, Exclusion, Found, PictureFile, find_pictures, printable
from visita.errors import DataError


@dataclass(frozen=True)
class Walk:
    """The picture files of a folder.

    Attributes
    ----------
    folder : Path
    files : dict of PictureFile
        By path relative to the folder.
    found : Found
        The same, and what else there is.
    excluded : Exclusion
        What was not looked at.
    """

    folder: Path
    files: dict[str, PictureFile]
    found: Found
    excluded: Exclusion

    @classmethod
    def through(cls, folder: Path, exclude: Iterable[str]) -> Self:
        """Look for the pictures of a folder.

        Raises
        ------
        DataError
            If there are none.
        """
        patterns = tuple(exclude)
        found = find_pictures(folder, patterns)
        if not found.pictures:
            one = next(iter(found.skipped), None)
            reason = f" ({one.item}: {one.reason})" if one else ""
            raise DataError(
                f"No pictures were found in {printable(str(folder))}{reason}; looked for names "
                f"that end in {', '.join(SUFFIXES)}."
            )
        start = len(root_of(folder))
        files = {str(file.path)[start:]: file for file in found.pictures}
        return cls(folder, files, found, Exclusion(patterns, folder))

    def hides(self, path: str) -> bool:
        """Tell whether a file may be there all the same: excluded, or where none could look."""
        file = PurePath(printable(root_of(self.folder) + path))
        return self.excluded.hides(path) or any(
            str(one) in self._unseen for one in (file, *file.parents)
        )

    @cached_property
    def _unseen(self) -> frozenset[str]:
        return frozenset(one.item for one in self.found.skipped)


def root_of(folder: Path) -> str:
    """Return what a path relative to ``folder`` is added to."""
    return os.path.join(folder, "")  # noqa: PTH118  ends with a slash, unlike a Path
