"""What training returns and everything later uses."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from visita.errors import UnknownNameError, did_you_mean
from visita.matchers.kinds import load_folder
from visita.registry import Registry
from visita.types import Matcher

SHIPPED = ("visita-small", "visita-base")
DEFAULT = "visita-small"
PRETRAINED = Registry(
    "pretrained matcher",
    {
        "clip:": "visita.matchers.pretrained:clip",
        "siglip:": "visita.matchers.pretrained:siglip",
        "blip:": "visita.matchers.pretrained:blip",
        "albef:": "visita.matchers.pretrained:albef",
    },
)


def load(path_or_name: str | Path) -> Matcher:
    """Return a matcher: a shipped one by its name, a saved one by its folder, or a pretrained
    one by its checkpoint, such as ``clip:openai/clip-vit-base-patch32``.

    Raises
    ------
    UnknownNameError
        If it is none of them.
    ArtifactError
        If the folder is not a whole matcher, or the checkpoint cannot be found or fetched.
    MissingExtraError
        If the checkpoint needs a library that is not installed.
    """
    if str(path_or_name) in SHIPPED:
        return load_folder(shipped_folder(str(path_or_name)))
    if not Path(path_or_name).is_dir():
        if str(path_or_name) in PRETRAINED:
            matcher: Matcher = PRETRAINED.load(str(path_or_name))()
            return matcher
        hint = did_you_mean(str(path_or_name), SHIPPED)
        raise UnknownNameError(
            f"No matcher {str(path_or_name)!r}: neither a folder nor a shipped name "
            f"({', '.join(SHIPPED)}) nor {', '.join(f'{f}NAME' for f in PRETRAINED.families())}."
            f"{hint}"
        )
    return load_folder(Path(path_or_name))


def opened(matcher: Matcher | str | Path) -> Matcher:
    """Return a matcher as it is, or ``load`` it."""
    return load(matcher) if isinstance(matcher, str | Path) else matcher


def shipped_folder(name: str) -> Path:
    """Return where a shipped matcher is installed."""
    return Path(str(files("visita.matchers").joinpath(name)))
