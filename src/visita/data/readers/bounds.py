"""Where the files of a data set may lie: a stranger's data must not lead elsewhere."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path, PurePath

from visita.data.pictures import printable
from visita.data.readers.unpacked import pictures_home
from visita.errors import DataError

OUTSIDE = "lies outside the data set's folder; --root DIR allows what is in DIR"
ADDRESS = "is an address, and visita reads local files only"


class Bounds:
    """The folder of a data set, and others that its user named.

    Neither a path in the data nor a link may lead elsewhere, but to pictures unpacked before.

    Parameters
    ----------
    folder
        Of the data set; it may be a link itself.
    roots
        More folders where its files may be.
    """

    def __init__(self, folder: Path, roots: Iterable[Path] = ()) -> None:
        self.folder = folder
        self.roots = tuple(roots)
        allowed = (folder, *self.roots, pictures_home())
        self._real = tuple(_start(Path(os.path.realpath(place))) for place in allowed)
        self._starts = {place: _start(place) for place in (folder, *self.roots)}
        self._found: dict[tuple[str | Path, ...], tuple[str, Path]] = {}
        self._real_folder = lru_cache(10_000)(os.path.realpath)

    def fault(self, path: Path, what: str = "picture") -> str:
        """Return why the file ``path`` is no use, or ``""``."""
        try:
            if not self._holds(path):
                return OUTSIDE
            return "" if path.is_file() else f"there is no such {what}"
        except ValueError:  # a zero byte, or half a surrogate pair
            return f"there is no such {what}"
        except OSError as error:
            return f"cannot be read: {error.strerror}"

    def check(self, path: Path) -> Path:
        """Return ``path``.

        Raises
        ------
        DataError
            If it is no use; see ``fault``.
        """
        if fault := self.fault(path, "file"):
            raise DataError(f"{printable(str(path))}: {fault}.")
        return path

    def find(self, name: str, bases: Sequence[Path]) -> tuple[str, Path]:
        """Return the id and the place of the picture that the data call ``name``.

        A relative name is looked for from each of ``bases``, then from the roots. The id is
        the path from the folder that holds it, so that it does not change with its place.
        """
        key: tuple[str | Path, ...] = (name, *bases)
        if key not in self._found:
            self._found[key] = self._find(name, bases)
        return self._found[key]

    def _find(self, name: str, bases: Sequence[Path]) -> tuple[str, Path]:
        if "://" in name:
            return name, Path(name)
        file = posixpath.normpath(name.strip().replace("\\", "/"))
        if PurePath(file).is_absolute():
            places = [Path(file)]
        else:
            places = [base / file for base in (*bases, *self.roots)]
        path = next((place for place in places if is_file(place)), places[0])
        absolute = os.path.abspath(path)  # noqa: PTH100  resolve() would follow links
        for holder, start in self._starts.items():
            if absolute.startswith(start):
                inner = PurePath(absolute[len(start) :])
                return inner.as_posix(), holder / inner
        return file, path

    def folder_of(self, names: Sequence[str]) -> Path | None:
        """Return the first folder with one of ``names``: in the data set's, an inner one, a root.

        Without any, it is the first root.
        """
        above = (self.folder, *inner_folders(self.folder), *self.roots)
        places = (place / name for name in names for place in above)
        return next((place for place in (*places, *self.roots) if place.is_dir()), None)

    def _holds(self, path: Path) -> bool:
        folder, name = os.path.split(path)
        real = os.path.join(self._real_folder(folder or "."), name)  # noqa: PTH118
        if os.path.islink(real):  # noqa: PTH114
            real = os.path.realpath(real)
        return real.startswith(self._real)


def inner_folders(folder: Path) -> list[Path]:
    """Return the folders in ``folder``, sorted; none if it is no folder."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(folder / entry.name for entry in entries if entry.is_dir())


def _start(folder: Path) -> str:
    """Return how the full path of what lies in a folder begins."""
    return os.path.join(os.path.abspath(folder), "")  # noqa: PTH100, PTH118


def is_file(path: Path) -> bool:
    """Tell whether ``path`` is a file, whatever its name."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
