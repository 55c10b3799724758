"""Patterns of what to leave out when pictures are sought."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from pathlib import Path, PurePath

_GLOB = re.compile(r"[*?\[]")


class Exclusion:
    """Glob patterns, and which of them have matched anything.

    ``*`` crosses ``/``. A pattern is matched with names and with posix paths relative to
    ``folder``; one that begins with ``./`` with these paths alone; an absolute one with
    absolute paths. One that ends with ``/`` is for folders. Case counts where the file system
    of ``folder`` has any.
    """

    def __init__(self, patterns: Iterable[str], folder: Path) -> None:
        self._real = folder.resolve().as_posix().rstrip("/")
        given = list(dict.fromkeys(patterns))
        flags = re.IGNORECASE if given and ignores_case(folder) else 0
        self._patterns = [_Pattern(one, flags) for one in given]

    def __bool__(self) -> bool:
        """Tell whether there is any pattern."""
        return bool(self._patterns)

    def __call__(self, path: PurePath, *, is_folder: Callable[[], bool]) -> bool:
        """Tell whether to leave out a file or folder, by its path relative to the folder.

        Every pattern that matches it is noted. What lies in a folder that is left out is not
        itself matched; see ``hides``.
        """
        absolute = f"{self._real}/{path.as_posix()}"
        matching = [one for one in self._patterns if one.matches(path, absolute, is_folder)]
        return bool(matching)

    def hides(self, path: str) -> bool:
        """Tell whether a file is left out, by itself or in a folder that is."""
        file = PurePath(path)
        return self(file, is_folder=lambda: False) or any(
            self(outer, is_folder=lambda: True) for outer in file.parents if outer.name
        )

    def unmatched(self) -> tuple[str, ...]:
        """Return the patterns that have matched nothing so far."""
        return tuple(one.given for one in self._patterns if not one.used)


class _Pattern:
    def __init__(self, given: str, flags: int) -> None:
        self.given = given
        self.used = False
        pattern = given.replace(os.sep, "/")
        self._of_folders = pattern.endswith("/")
        pattern = pattern.rstrip("/")
        self._absolute = Path(pattern).is_absolute()
        self._anchored = pattern.startswith("./")
        ways = {pattern, _followed(pattern)} if self._absolute else {pattern.removeprefix("./")}
        self._match = re.compile("|".join(map(translate, ways)), flags).match

    def matches(self, path: PurePath, absolute: str, is_folder: Callable[[], bool]) -> bool:
        names = [absolute] if self._absolute else [path.as_posix()]
        if not self._absolute and not self._anchored:
            names.append(path.name)
        found = any(self._match(name) for name in names)
        found = found and (not self._of_folders or is_folder())
        self.used |= found
        return found


def _followed(pattern: str) -> str:
    """Return an absolute pattern without links above what it names, as folders are opened."""
    parts = Path(pattern).parts
    literal = next((k for k, part in enumerate(parts) if _GLOB.search(part)), len(parts))
    head = min(literal, len(parts) - 1)
    return Path(*parts[:head]).resolve().joinpath(*parts[head:]).as_posix()


def ignores_case(folder: Path) -> bool:
    """Tell whether names in a folder that differ in case alone are one; asked of its files."""
    try:
        names = {entry.name for entry in os.scandir(folder)}
    except OSError:
        return False
    other = next((one.swapcase() for one in names if one.swapcase() not in names), None)
    return other is not None and os.path.lexists(folder / other)
