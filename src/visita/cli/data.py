"""``visita data``: looking at pairs, making articles of them, and writing them as linked data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import visita
from visita.brief import counted
from visita.cli.options import Json, Root, rooted
from visita.cli.output import print_json
from visita.progress import one_line

if TYPE_CHECKING:
    from visita.data import Report

Pairs = Annotated[
    str, typer.Argument(metavar="PAIRS", help="READER:PATH, or a path that is recognised.")
]

data = typer.Typer(
    name="data",
    help="Check pairs, make articles of them, or write them as linked data.",
    no_args_is_help=True,
)


@data.callback()
def group() -> None:
    """Check pairs, make articles of them, or write them as linked data."""


@data.command()
def check(
    pairs: Pairs,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Find what is wrong with a data set: broken pictures, leaks between splits, empty texts.

    Exit status: 0 clean or only warnings, 1 errors found.

    [bold]visita data check flickr8k:data/flickr8k[/bold]
    """
    from visita.data import check_pairs  # noqa: PLC0415
    from visita.progress import bar  # noqa: PLC0415

    opened = visita.open_pairs(rooted(pairs, root))
    with bar("pictures", len(opened.image_ids)) as advance:
        report = check_pairs(opened, advance)
    if as_json:
        print_json(report.to_dict())
    else:
        _print(report)
    if report.errors:
        raise typer.Exit(1)


@data.command()
def articles(
    pairs: Pairs,
    noise: Annotated[
        int,
        typer.Option(min=0, help="Captions of other images in each article.", show_default=False),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Output: .jsonl, in or above the pictures.")
    ],
    seed: Annotated[
        int,
        typer.Option(help="Draws the foreign captions, the order, and splits if there are none."),
    ] = 0,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Make an article of each image: its captions, shuffled into captions of other images.

    How well a matcher finds an article's picture is then measured under a known
    noise. The file is a table that every command reads.

    [bold]visita data articles flickr8k:data/flickr8k --noise 30 --out articles.jsonl[/bold]
    """
    from visita.data.articles import articles as compose  # noqa: PLC0415
    from visita.data.articles import write_articles  # noqa: PLC0415

    opened = visita.open_pairs(rooted(pairs, root), seed=seed)
    composed = compose(opened, noise, seed)
    write_articles(composed, out)
    count, left_out = len(composed.texts), len(opened.image_ids) - len(composed.texts)
    if as_json:
        print_json(
            {
                "file": str(out),
                "articles": count,
                "splits": composed.splits(),
                "noise": noise,
                "seed": seed,
                "left_out": left_out,
            }
        )
    else:
        splits = ", ".join(f"{name} {size:,}" for name, size in composed.splits().items())
        without = f"; {counted(left_out, 'image')} have no text" if left_out else ""
        print(f"{counted(count, 'article')} ({splits}) with noise {noise} are in {out}{without}")


@data.command()
def croissant(
    pairs: Annotated[
        list[str],
        typer.Argument(metavar="PAIRS...", help="READER:PATH; several data sets are joined."),
    ],
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Output: .json, in or above the pictures.")
    ],
    join: Annotated[
        str,
        typer.Option(metavar="BY", help="What equal pictures share: 'content' or 'id'."),
    ] = "content",
    description: Annotated[str, typer.Option(help="What the data are.")] = "",
    licence: Annotated[str, typer.Option("--license", help="Name or address of a licence.")] = "",
    seed: Annotated[int, typer.Option(help="Draws splits if there are none.")] = 0,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Describe pairs as linked data: JSON-LD in the Croissant format, with a Parquet table.

    Of several data sets, equal pictures become one image with the texts of all. Every
    command reads the result as croissant:FILE.

    [bold]visita data croissant coco:data/coco flickr8k:data/flickr8k --out data/all.json[/bold]
    """
    from visita.data.croissant import write_croissant  # noqa: PLC0415
    from visita.data.join import join_pairs  # noqa: PLC0415
    from visita.progress import say  # noqa: PLC0415

    sets = [visita.open_pairs(rooted(place, root), seed=seed) for place in pairs]
    written = join_pairs(sets, join) if len(sets) > 1 else sets[0]
    table = write_croissant(written, out, description=description, licence=licence)
    for option, value in (("description", description), ("license", licence)):
        if not value:
            say(f"{out} has no {option}; others need one: --{option}")
    images, texts = len(written.image_ids), len(written.texts)
    shared = sum(len(pair_set.image_ids) for pair_set in sets) - images
    moved = len(written.problems) - sum(len(pair_set.problems) for pair_set in sets)
    if as_json:
        print_json(
            {
                "file": str(out),
                "table": str(table),
                "images": images,
                "texts": texts,
                "splits": written.splits(),
                "shared": shared,
                "moved": moved,
            }
        )
    else:
        contents = f"{counted(images, 'image')} and {counted(texts, 'text')}"
        print(f"{contents} are in {out}, with the table {table}")
        if len(sets) > 1:
            print(
                f"{counted(shared, 'picture')} occurred twice and became one image; "
                f"{moved:,} changed split for it, to test or else to dev"
            )


def _print(report: Report) -> None:
    splits = ", ".join(f"{name} {count:,}" for name, count in report.splits.items())
    print(
        f"{counted(report.images, 'image')} ({splits}), {counted(report.texts, 'text')}, "
        f"{counted(report.pairs, 'pair')}"
    )
    if report.languages:
        counts = ", ".join(f"{code} {count:,}" for code, count in report.languages.items())
        print(f"texts by language: {counts}")
    for finding in report.findings:
        print(f"{finding.severity}: {finding.meaning}: {finding.count:,}")
        for item in finding.items:
            print(f"    {one_line(item)}")
        if finding.count > len(finding.items):
            print(f"    and {finding.count - len(finding.items):,} more")
    if not report.findings:
        print("no faults found")
