"""The folders of sentence-transformers: which modules one lists, and where they are."""

from __future__ import annotations

import json
from pathlib import Path

from visita.errors import ConfigError

MODULES = "modules.json"
PREFIX = "sentence_transformers."
CLIP = "CLIPModel"


def modules_of(model: str, folder: Path) -> list[tuple[str, str]]:
    """Return class and subfolder of each module; a class that is not the library's says so.

    Raises
    ------
    ConfigError
        If the folder is in another layout, or a subfolder is not within it.
    """
    try:
        listed = json.loads((folder / MODULES).read_text("utf-8"))
        modules = [(str(entry["type"]), str(entry["path"])) for entry in listed]
        sound = bool(modules) and all(Path(place).name == place != ".." for _, place in modules)
    except (OSError, ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        raise ConfigError(
            f"{model} is not in the layout of sentence-transformers: it has no sound {MODULES}."
        )
    return [
        (name.rpartition(".")[2] if name.startswith(PREFIX) else f"{name}, code of its own", place)
        for name, place in modules
    ]


def towers_within(model: str, folder: Path) -> str:
    """Return the subfolder of a model of two towers: none, or ``0_CLIPModel`` in older folders.

    Raises
    ------
    ConfigError
        If there is more to the model than its two towers.
    """
    if not (folder / MODULES).is_file():
        return ""
    (kind, place), *more = modules_of(model, folder)
    kinds = [name for name, _ in more]
    # Later versions of the library call every model of transformers a Transformer.
    if kind not in (CLIP, "Transformer") or set(kinds) - {"Normalize"}:
        raise ConfigError(
            f"{model} consists of {'; '.join([kind, *kinds])}: of two towers visita reads a "
            f"{CLIP} alone. Choose another model."
        )
    return place
