"""``visita data``: looking at pairs before they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import visita
from visita.cli.options import Json
from visita.cli.output import one_line, print_json

if TYPE_CHECKING:
    from visita.data import Report

data = typer.Typer(name="data", help="Look at pairs before they are used.", no_args_is_help=True)


@data.callback()
def group() -> None:
    """Look at pairs before they are used."""


@data.command()
def check(
    pairs: Annotated[
        str, typer.Argument(metavar="PAIRS", help="READER:PATH, or a path that is recognised.")
    ],
    as_json: Json = False,
) -> None:
    """Find what is wrong with a data set: broken pictures, leaks between splits, empty texts.

    Exit status: 0 clean or only warnings, 1 errors found.

    [bold]visita data check flickr8k:data/flickr8k[/bold]
    """
    from visita.data import check_pairs  # noqa: PLC0415
    from visita.progress import bar  # noqa: PLC0415

    opened = visita.open_pairs(pairs)
    with bar("pictures", len(opened.image_ids)) as advance:
        report = check_pairs(opened, advance)
    if as_json:
        print_json(report.to_dict())
    else:
        _print(report)
    if report.errors:
        raise typer.Exit(1)


def _print(report: Report) -> None:
    splits = ", ".join(f"{name} {count:,}" for name, count in report.splits.items())
    print(f"{report.images:,} images ({splits}), {report.texts:,} texts, {report.pairs:,} pairs")
    for finding in report.findings:
        print(f"{finding.severity}: {finding.meaning}: {finding.count:,}")
        for item in finding.items:
            print(f"    {one_line(item)}")
        if finding.count > len(finding.items):
            print(f"    and {finding.count - len(finding.items):,} more")
    if not report.findings:
        print("no faults found")
