"""``visita mcp``: search, match, recommend and explain as tools for agents."""

from __future__ import annotations

from typing import Annotated

import typer

from visita.cli.options import DEFAULT, Home, Matcher
from visita.cli.options import folders as checked


def mcp(
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER", help="Folders of pictures.")],
    gallery: Home = None,
    matcher: Matcher = DEFAULT,
) -> None:
    """Answer agents by the Model Context Protocol, on stdin and stdout.

    Their tools search, recommend, match and explain; they read only.
    Pictures are read in the background.

    [bold]visita mcp Pictures[/bold]
    """
    from visita.serve.agents import serve_agents  # noqa: PLC0415

    serve_agents(checked(folders), matcher, gallery)
