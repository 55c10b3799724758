"""Options that choose encoders for training, and the settings that they stand for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from visita.errors import ConfigError

ImageEncoder = Annotated[
    str | None,
    typer.Option("--image-encoder", metavar="NAME", help="See pictures by this, as in clip:NAME."),
]
Levels = Annotated[
    str | None,
    typer.Option(
        "--levels",
        metavar="LEVELS",
        help="Which of its levels, as in 6,9,12 (layers, averaged) or layer12:cls,vector.",
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option("--text-encoder", metavar="NAME", help="Read texts by this, as in clip:NAME."),
]


def named_levels(encoder: str | None, levels: str | None) -> dict[str, list[str]]:
    """Return the levels that --image-encoder and --levels name, by encoder."""
    if not encoder and not levels:
        return {}
    if not encoder or not levels:
        raise ConfigError("--image-encoder and --levels go together.")
    return {
        _named(encoder): [f"layer{one}:avg" if one.isdigit() else one for one in levels.split(",")]
    }


def _named(encoder: str) -> str:
    """Return what recipes call an encoder that is given by its folder, ``tuned:FOLDER``."""
    from visita.encoders.fitted import install  # noqa: PLC0415
    from visita.encoders.tuned import TunedEncoder  # noqa: PLC0415

    family, _, folder = encoder.partition(":")
    if family != TunedEncoder.family or not Path(folder).is_dir():
        return encoder
    found = TunedEncoder.load(Path(folder))
    install(found)
    return found.name


def fused(levels: dict[str, list[str]], *, joins_classes: bool) -> list[str]:
    """Return the settings that fuse these levels."""
    if not levels:
        return []
    # Only the encoders that classify have the level of class names that the default joins.
    classes = ["class_names_weight=0"] if joins_classes else []
    return [f"image_levels={json.dumps(levels)}", *classes]


def looked_at(levels: dict[str, list[str]], by: str = "second") -> list[str]:
    """Return the settings that make ``by`` look at the same layers as grids of cells."""
    if not levels:
        return []
    grids = {
        encoder: list(dict.fromkeys(f"{one.partition(':')[0]}:5x5" for one in names if ":" in one))
        for encoder, names in levels.items()
    }
    if not all(grids.values()):
        raise ConfigError("--levels names no layer with cells to look at, such as 12.")
    return [f"{by}.image_levels={json.dumps(grids)}"]


def read_by(encoder: str | None) -> list[str]:
    """Return the settings with which both stages of MKL-VisITA read texts by an encoder."""
    from visita.training.texts import token_levels  # noqa: PLC0415

    if not encoder:
        return []
    name, layers = json.dumps(encoder), json.dumps(token_levels(encoder))
    first, second = f"first.text_encoder={name}", f"second.text_encoder={name}"
    return [first, second, f"second.text_levels={layers}"]
