"""The options by which a search is among some of the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PANEL = "Which pictures, by what is written in them and beside them"

Since = Annotated[
    str | None,
    typer.Option(
        metavar="DATE",
        help="Taken then or later, as in 2024-05.",
        rich_help_panel=PANEL,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Taken then or earlier.", rich_help_panel=PANEL),
]
Camera = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="By a camera of this name.", rich_help_panel=PANEL),
]
Near = Annotated[
    str | None,
    typer.Option(
        metavar="LAT,LON[,KM]", help="Taken within 5 km, or as many.", rich_help_panel=PANEL
    ),
]
Under = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="In this folder and those in it.", rich_help_panel=PANEL),
]
Tag = Annotated[
    list[str] | None,
    typer.Option(metavar="WORD", help="With this keyword. Repeatable.", rich_help_panel=PANEL),
]
Rating = Annotated[
    int | None,
    typer.Option(metavar="STARS", help="With so many stars at least.", rich_help_panel=PANEL),
]
Text = Annotated[
    str | None,
    typer.Option(
        metavar="WORDS",
        help="With these words in title, caption, keywords or folder.",
        rich_help_panel=PANEL,
    ),
]
Where = Annotated[
    str | None,
    typer.Option(
        metavar="SQL",
        help="A condition over the columns of 'visita gallery info'.",
        rich_help_panel=PANEL,
    ),
]
