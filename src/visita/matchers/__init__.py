"""What training returns and everything later uses."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from visita.errors import UnknownNameError, did_you_mean
from visita.matchers.kinds import load_folder
from visita.types import Matcher

SHIPPED = ("visita-small",)
DEFAULT = "visita-small"


def load(path_or_name: str | Path) -> Matcher:
    """Return a shipped matcher by name, or a saved one by its folder.

    Raises
    ------
    UnknownNameError
        If it is neither.
    ArtifactError
        If the folder is not a whole matcher.
    """
    if str(path_or_name) in SHIPPED:
        return load_folder(shipped_folder(str(path_or_name)))
    if not Path(path_or_name).is_dir():
        hint = did_you_mean(str(path_or_name), SHIPPED)
        raise UnknownNameError(
            f"No matcher {str(path_or_name)!r}: neither a folder nor a shipped name "
            f"({', '.join(SHIPPED)}).{hint}"
        )
    return load_folder(Path(path_or_name))


def opened(matcher: Matcher | str | Path) -> Matcher:
    """Return a matcher as it is, or ``load`` it."""
    return load(matcher) if isinstance(matcher, str | Path) else matcher


def shipped_folder(name: str) -> Path:
    """Return where a shipped matcher is installed."""
    return Path(str(files("visita.matchers").joinpath(name)))
