"""What training returns and everything later uses."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Protocol, runtime_checkable

from visita.arguments import expect
from visita.errors import ConfigError, UnknownNameError, did_you_mean
from visita.matchers.base import load_folder
from visita.registry import Registry
from visita.types import FloatArray, Matcher

__all__ = [
    "DEFAULT",
    "PRETRAINED",
    "SHIPPED",
    "load",
    "opened",
    "shipped_folder",
]

SHIPPED = ("visita-small", "visita-base")
DEFAULT = "visita-small"
PRETRAINED = Registry(
    "pretrained matcher",
    {
        "clip:": "visita.matchers.pretrained:clip",
        "siglip:": "visita.matchers.pretrained:siglip",
        "blip:": "visita.matchers.pretrained:blip",
        "albef:": "visita.matchers.pretrained:albef",
        "metaclip2:": "visita.matchers.pretrained:metaclip2",
        "chinese-clip:": "visita.matchers.pretrained:chinese_clip",
        "altclip:": "visita.matchers.pretrained:altclip",
        "align:": "visita.matchers.pretrained:align",
        "blip2:": "visita.matchers.pretrained:blip2",
        "open-clip:": "visita.matchers.pretrained:open_clip",
    },
)


@runtime_checkable
class _Embeds(Protocol):
    """What tells a matcher by ``isinstance``; the rest of one may take long to be asked for."""

    def embed_images(self, columns: Mapping[str, FloatArray]) -> FloatArray: ...


NAMES = (str, os.PathLike)
GIVEN = (*NAMES, _Embeds)
"""What stands for a matcher in a call."""
MATCHERS = "Matchers are a list of matchers, names and folders"
TAKEN = "A matcher is a Matcher, a name such as 'visita-small', or the folder of a saved one"


def load(path_or_name: str | Path, *, text_encoder: str | None = None) -> Matcher:
    """Return a matcher: a shipped one by its name, a saved one by its folder, or a pretrained
    one by its checkpoint, such as ``clip:openai/clip-vit-base-patch32``.

    ``text_encoder`` replaces the text tower of ``clip:NAME``, or of another model of two towers,
    by one that was trained to share its space, such as a multilingual one:
    ``sentence-transformers:sentence-transformers/clip-ViT-B-32-multilingual-v1``.

    Raises
    ------
    UnknownNameError
        If it is none of them, or there is no such text encoder.
    ConfigError
        If the matcher can take no other text encoder.
    MismatchError
        If the vectors of the text encoder are of another width.
    ArtifactError
        If the folder is not a whole matcher, or the checkpoint cannot be found or fetched.
    MissingExtraError
        If the checkpoint needs a library that is not installed.

    Examples
    --------
    >>> matcher = visita.load("visita-small")
    >>> matcher.name, matcher.dim
    ('visita-small', 512)
    """
    expect(path_or_name, NAMES, TAKEN)
    name = str(path_or_name)
    if name in PRETRAINED and not Path(name).is_dir():
        matcher: Matcher = PRETRAINED.load(name)(text_encoder)
        return matcher
    folder = shipped_folder(name) if name in SHIPPED else Path(name)
    if not folder.is_dir():
        hint = did_you_mean(name, SHIPPED)
        raise UnknownNameError(
            f"No matcher {name!r}: neither a folder nor a shipped name "
            f"({', '.join(SHIPPED)}) nor {', '.join(f'{f}NAME' for f in PRETRAINED.families())}."
            f"{hint}"
        )
    if text_encoder is not None:
        raise ConfigError(
            f"{name} was trained on its own text encoder: only a pretrained model of two towers, "
            f"such as clip:NAME, takes another. To learn on {text_encoder}, train anew:  visita "
            "train fusion"
        )
    return load_folder(folder)


def opened(matcher: Matcher | str | Path) -> Matcher:
    """Return a matcher as it is, or ``load`` it.

    Raises
    ------
    TypeError
        If it is neither a matcher nor the name or folder of one.
    """
    expect(matcher, GIVEN, TAKEN)
    return load(matcher) if isinstance(matcher, NAMES) else matcher


def shipped_folder(name: str) -> Path:
    """Return where a shipped matcher is installed."""
    return Path(str(files("visita.matchers").joinpath(name)))


def __dir__() -> list[str]:
    return sorted(__all__)
