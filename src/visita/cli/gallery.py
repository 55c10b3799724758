"""``visita gallery``: the galleries there are, and the end of one."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Annotated

import typer

from visita.cli.options import Home, Json
from visita.cli.output import print_json
from visita.errors import ConfigError
from visita.names import one_line

gallery = typer.Typer(name="gallery", help="List and remove galleries.", no_args_is_help=True)


@gallery.command("list")
def list_galleries(gallery: Home = None, as_json: Json = False) -> None:
    """List the galleries: name, pictures, room on disk, folder.

    [bold]visita gallery list[/bold]
    """
    from visita.gallery.listing import galleries  # noqa: PLC0415

    known = galleries(gallery)
    if as_json:
        print_json({"galleries": [{**asdict(one), "path": str(one.path)} for one in known]})
        return
    width = max((len(one.name) for one in known), default=0)
    for one in known:
        size = f"{one.bytes / 1e6:,.0f} MB"
        print(f"{one.name:{width}} {one.pictures:>9,} {size:>9}  {one_line(one.folder)}")


@gallery.command("rm")
def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER", help="As in 'visita gallery list'.")
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    gallery: Home = None,
    as_json: Json = False,
) -> None:
    """Delete what a gallery keeps. The pictures stay.

    [bold]visita gallery rm pictures-1a2b3c4d --yes[/bold]
    [bold]visita gallery rm Pictures[/bold]
    """
    from visita.gallery.listing import find_gallery, remove_gallery  # noqa: PLC0415

    name = find_gallery(name, gallery).name
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("Nobody is here to ask: add --yes to delete the gallery.")
        typer.confirm(f"Delete the gallery {name}? Its pictures stay.", abort=True, err=True)
    remove_gallery(name, gallery)
    if as_json:
        print_json({"removed": name})
    else:
        print(f"removed {name}")
