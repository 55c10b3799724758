"""The options by which a search is among some of the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

PANEL = "Which pictures, by what is written in them and beside them"


def _option(metavar: str, said: str) -> Any:
    return typer.Option(metavar=metavar, help=said, rich_help_panel=PANEL)


Since = Annotated[str | None, _option("DATE", "Taken then or later, as in 2024-05.")]
Until = Annotated[str | None, _option("DATE", "Taken then or earlier.")]
Camera = Annotated[str | None, _option("NAME", "By a camera of this name.")]
Near = Annotated[str | None, _option("LAT,LON[,KM]", "Taken within 5 km, or as many.")]
Under = Annotated[Path | None, _option("FOLDER", "In this folder and those in it.")]
Tag = Annotated[list[str] | None, _option("WORD", "With this keyword. Repeatable.")]
Rating = Annotated[int | None, _option("STARS", "With so many stars at least.")]
Text = Annotated[
    str | None,
    _option("WORDS", "With these words in it, its title, caption, keywords, folder or place."),
]
Where = Annotated[
    str | None, _option("SQL", "A condition over the columns of 'visita gallery info'.")
]
