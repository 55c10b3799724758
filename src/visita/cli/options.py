"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from visita.data import Source

Image = Annotated[
    Path, typer.Argument(metavar="IMAGE", exists=True, dir_okay=False, help="A picture.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
DEFAULT = "visita-small"
Matcher = Annotated[
    str,
    typer.Option(
        metavar="NAME|FOLDER", help="A shipped matcher, a saved one's folder, or clip:NAME."
    ),
]
TextEncoder = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Read texts by another encoder of the same space, such as a multilingual one; "
        "for clip:NAME and siglip:NAME.",
        show_default="the matcher's own",
    ),
]
Home = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        metavar="DIR",
        help="Where galleries are kept.",
        show_default="$VISITA_HOME or the user's data folder",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATTERN",
        help="Leave out files and folders whose name or path matches, as in '*.gif'. Repeatable.",
    ),
]
Null = Annotated[
    bool,
    typer.Option(
        "--null",
        "-0",
        help="Print paths only, as they are, each ended by a null byte, for xargs -0.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Replace the matcher that --out holds already.")
]
Pairs = Annotated[
    str,
    typer.Option(
        "--data",
        metavar="PAIRS",
        help="Images with texts: READER:PATH, as in flickr8k:data, or a path that is recognised.",
    ),
]
Root = Annotated[
    list[Path] | None,
    typer.Option(
        "--root",
        metavar="DIR",
        help="Pictures may lie here too: else, what is outside the data's folder is left out. "
        "Repeatable.",
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Where 'visita extract' put the features.", show_default="the cache"
    ),
]
Folds = Annotated[
    int,
    typer.Option(
        min=1,
        help="Retrieval as the mean over so many parts of the images: 5 is COCO's 1K protocol.",
    ),
]
Config = Annotated[Path | None, typer.Option(metavar="TOML", help="A file with settings.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one setting. Repeatable."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="'default', visita's own recipe, or 'paper', the multi-level fusion paper's.",
        show_default="default",
    ),
]


def rooted(data: str, roots: list[Path] | None) -> Source:
    """Return the pairs with the folders of ``--root``."""
    from visita.data import Source  # noqa: PLC0415

    return Source(data, tuple(roots or ()))
