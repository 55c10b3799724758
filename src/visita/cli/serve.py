"""``visita serve``: the page and the API over galleries."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from visita.cli.options import Config, Home, Root
from visita.cli.options import folders as checked


def serve(
    folders: Annotated[list[str], typer.Argument(metavar="FOLDER", help="Folders of pictures.")],
    port: Annotated[
        int | None, typer.Option(help="Where to listen; 0 is any free one.", show_default="8420")
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Beyond this machine a token is needed.", show_default="127.0.0.1"),
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="What each request has to bring; better VISITA_SERVE_TOKEN.")
    ] = None,
    no_open: Annotated[
        bool, typer.Option("--no-open", help="Do not open the page in a browser.")
    ] = False,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Leave out files and folders. Repeatable."),
    ] = None,
    past: Annotated[
        str | None,
        typer.Option(metavar="PAIRS", help="Past articles with their pictures, to recommend by."),
    ] = None,
    root: Root = None,
    gallery: Home = None,
    matcher: Annotated[
        str | None,
        typer.Option(metavar="NAME|FOLDER", help="What to search with.", show_default="your own"),
    ] = None,
    config: Config = None,
) -> None:
    """Show folders on a page, and answer programs under /api/v1.

    Prints the address. Pictures are read in the background; what is known
    can be searched at once. Settings come from --config, from variables
    such as VISITA_SERVE_PORT, and from options, the last first.

    [bold]visita serve Pictures Scans[/bold]
    [bold]visita serve Pictures --port 0 --no-open[/bold]
    """
    from visita.matchers.default import default_matcher  # noqa: PLC0415
    from visita.serve.config import ServeConfig  # noqa: PLC0415
    from visita.serve.run import serve as run  # noqa: PLC0415

    flags = {
        **{"port": port, "host": host, "token": token, "exclude": exclude, "past": past},
        **{"root": root, "home": gallery, "matcher": matcher},
    }
    settings = ServeConfig.of_everything(config, os.environ, flags)
    if "matcher" not in settings.model_fields_set:
        settings = settings.model_copy(update={"matcher": default_matcher()})
    run(checked(folders), settings, opens=not no_open)
