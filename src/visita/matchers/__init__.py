"""What training returns and everything later uses."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from visita.errors import UnknownNameError, did_you_mean
from visita.matchers.joint import JointMatcher

SHIPPED = ("visita-small",)
DEFAULT = "visita-small"


def load(path_or_name: str | Path) -> JointMatcher:
    """Return a shipped matcher by name, or a saved one by its folder.

    Raises
    ------
    UnknownNameError
        If it is neither.
    ArtifactError
        If the folder is not a whole matcher.
    """
    if str(path_or_name) in SHIPPED:
        return JointMatcher.load(Path(str(files("visita.matchers").joinpath(str(path_or_name)))))
    if not Path(path_or_name).is_dir():
        hint = did_you_mean(str(path_or_name), SHIPPED)
        raise UnknownNameError(
            f"No matcher {str(path_or_name)!r}: neither a folder nor a shipped name "
            f"({', '.join(SHIPPED)}).{hint}"
        )
    return JointMatcher.load(Path(path_or_name))
