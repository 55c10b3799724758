"""``visita gallery``: the galleries there are, their upkeep, and the end of one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from visita.brief import counted
from visita.cli.options import Home, Json, agreed
from visita.cli.output import print_json
from visita.progress import one_line

gallery = typer.Typer(
    name="gallery", help="List, verify, compact and remove galleries.", no_args_is_help=True
)


@gallery.command("list")
def list_galleries(gallery: Home = None, as_json: Json = False) -> None:
    """List the galleries: name, pictures, disk use, folder.

    [bold]visita gallery list[/bold]
    """
    from visita.gallery.listing import galleries  # noqa: PLC0415

    listed = galleries(gallery)
    if as_json:
        print_json({"galleries": [asdict(entry) for entry in listed]})
        return
    width = max((len(entry.name) for entry in listed), default=0)
    for entry in listed:
        size = f"{entry.bytes / 1e6:,.0f} MB"
        print(f"{entry.name:{width}} {entry.pictures:>9,} {size:>9}  {one_line(entry.folder)}")


@gallery.command("verify")
def verify(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME|FOLDER", help="One gallery.", show_default="all"),
    ] = None,
    gallery: Home = None,
    as_json: Json = False,
) -> None:
    """Check all that galleries keep against its checksums.

    What is damaged is removed; the next search makes it again.

    [bold]visita gallery verify[/bold]
    """
    from visita.gallery.listing import gallery_paths  # noqa: PLC0415
    from visita.gallery.upkeep import verify_gallery  # noqa: PLC0415

    verdicts = [verify_gallery(path) for path in gallery_paths(name, gallery)]
    if as_json:
        print_json({"galleries": [asdict(verdict) for verdict in verdicts]})
        return
    for verdict in verdicts:
        state = f"damaged: {', '.join(verdict.damaged)}" if verdict.damaged else "sound"
        if verdict.damaged:
            state += (
                f"; not mended ({verdict.kept_from})"
                if verdict.kept_from
                else "; mended by a search"
            )
        print(
            one_line(
                f"{verdict.name}: {counted(verdict.rows, 'row')}, "
                f"{verdict.bytes / 1e6:,.0f} MB, {state}"
            )
        )


@gallery.command("compact")
def compact(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER", help="As in 'visita gallery list'.")
    ],
    gallery: Home = None,
    as_json: Json = False,
) -> None:
    """Delete what a gallery keeps of pictures that are gone.

    Without this it is kept for 30 days, as a folder may come back.

    [bold]visita gallery compact Pictures[/bold]
    """
    from visita.gallery.listing import find_gallery  # noqa: PLC0415
    from visita.gallery.upkeep import compact_gallery  # noqa: PLC0415

    path = find_gallery(name, gallery)
    freed = compact_gallery(path)
    if as_json:
        print_json({"compacted": path.name, "bytes": freed})
    else:
        print(f"{path.name}: {freed / 1e6:,.1f} MB freed")


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
    question = f"Delete the gallery {name}? Its pictures stay."
    agreed(question, yes=yes, refused="add --yes to delete the gallery")
    remove_gallery(name, gallery)
    if as_json:
        print_json({"removed": name})
    else:
        print(f"removed {name}")
