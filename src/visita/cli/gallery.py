"""``visita gallery``: the galleries there are, their upkeep, and the end of one."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import visita
from visita.brief import counted
from visita.cli.options import DEFAULT, Home, Json, Matcher, agreed
from visita.cli.output import print_json
from visita.data.locations import location
from visita.progress import one_line, say

gallery = typer.Typer(
    name="gallery",
    help="Galleries: what they keep, their upkeep, their duplicates, export and import.",
    no_args_is_help=True,
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


@gallery.command("info")
def info(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER", help="As in 'visita gallery list'.")
    ],
    gallery: Home = None,
    as_json: Json = False,
) -> None:
    """Show what a gallery keeps: columns, of how many pictures, disk use.

    Those of the table are what 'visita search --where' knows.

    [bold]visita gallery info Pictures[/bold]
    """
    from visita.gallery.info import gallery_contents  # noqa: PLC0415
    from visita.gallery.listing import find_gallery  # noqa: PLC0415

    contents = gallery_contents(find_gallery(name, gallery))
    if as_json:
        print_json(asdict(contents))
        return
    count, size = counted(contents.pictures, "picture"), f"{contents.bytes / 1e6:,.1f} MB"
    print(one_line(f"{contents.name}: {count} of {contents.folder}, {size}"))
    print(f"searched by the engine {contents.engine!r}")
    for store, recall in contents.recall.items():
        print(f"{store}: recall@10 of captions {recall:.3f} of exact")
    width = max(len(f"{column.source} {column.name}") for column in contents.columns)
    for column in contents.columns:
        disk = f"{column.bytes / 1e6:,.2f} MB"
        of = f"{column.source} {column.name}"
        print(f"{of:{width}}  {column.type:15} {column.known:>10,} {disk:>12}")


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


@gallery.command("duplicates")
def duplicates(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="A folder of pictures.")],
    skip: Annotated[int, typer.Option(min=0, help="Leave out the first groups.")] = 0,
    k: Annotated[int, typer.Option("-k", min=1, help="How many groups to print.")] = 20,
    gallery: Home = None,
    matcher: Matcher = DEFAULT,
    as_json: Json = False,
) -> None:
    """List pictures that are the same, or nearly; nothing is ever deleted.

    Prints a block a group: the best first, by size and sharpness, and its pixels.
    New pictures are read first. Status 1 if there are none.

    [bold]visita gallery duplicates Pictures -k 50[/bold]
    """
    from visita.cli.index import in_step  # noqa: PLC0415
    from visita.cli.options import folders  # noqa: PLC0415
    from visita.gallery.duplicates import find_duplicates  # noqa: PLC0415

    (opened,), _ = in_step(folders([folder]), visita.Finder(matcher), gallery, None)
    groups = find_duplicates(opened.snapshot)
    page = groups[skip : skip + k]
    if as_json:
        print_json({"groups": len(groups), "duplicates": [asdict(group) for group in page]})
    for group in () if as_json else page:
        for picture in group.pictures:
            size = f"{picture.width} x {picture.height}" if picture.width else "-"
            print(one_line(f"{'exact' if group.exact else 'near'}\t{size}\t{picture.path}"))
        print()
    if not groups:
        raise typer.Exit(1)
    say(f"{counted(len(groups), 'group')}, {len(page):,} shown from {skip + 1:,}")


@gallery.command("export")
def export(
    name: Annotated[
        str, typer.Argument(metavar="NAME|FOLDER", help="As in 'visita gallery list'.")
    ],
    out: Annotated[
        str, typer.Argument(metavar="FILE.parquet", help="What to write; may be s3://BUCKET/KEY.")
    ],
    gallery: Home = None,
    as_json: Json = False,
) -> None:
    """Write what a gallery keeps, vectors included, to a Parquet file.

    Polars, DuckDB and the like read it; 'visita gallery import' takes it back.

    [bold]visita gallery export Pictures pictures.parquet[/bold]
    """
    from visita.gallery.exported import export_gallery  # noqa: PLC0415
    from visita.gallery.listing import find_gallery  # noqa: PLC0415

    count = export_gallery(find_gallery(name, gallery), location(out))
    if as_json:
        print_json({"pictures": count, "out": out})
    else:
        print(one_line(f"{counted(count, 'picture')} in {out}"))


@gallery.command("import")
def import_(
    file: Annotated[
        str, typer.Argument(metavar="FILE.parquet", help="What was exported; may be s3://….")
    ],
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Where the pictures are; may be s3://….")
    ],
    gallery: Home = None,
    as_json: Json = False,
) -> None:
    """Make a folder's gallery from a file of 'visita gallery export'.

    The next search reads the pictures once, to see that they are those, and
    computes only what is not among them.

    [bold]visita gallery import pictures.parquet Pictures[/bold]
    """
    from visita.gallery.gallery import StoredGallery  # noqa: PLC0415
    from visita.gallery.imported import import_gallery  # noqa: PLC0415

    count = import_gallery(location(file), StoredGallery.open(folder, home=gallery))
    if as_json:
        print_json({"pictures": count, "folder": folder})
    else:
        print(one_line(f"{counted(count, 'picture')} of {folder}"))


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
