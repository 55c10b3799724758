"""``visita fuse``: several matchers as one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import visita
from visita.brief import counted
from visita.cli.options import Force, Json, Pairs, Root, check_out, rooted
from visita.cli.output import interval, print_json
from visita.progress import warn


def fuse(
    matchers: Annotated[
        list[str],
        typer.Argument(
            metavar="MATCHER MATCHER…",
            help="Shipped matchers, folders of saved ones, 'class-names' or 'colour'.",
        ),
    ],
    data: Pairs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the matcher goes.")],
    force: Force = False,
    dim: Annotated[
        int, typer.Option(metavar="N", help="Most numbers a picture; longer vectors are shortened.")
    ] = 1024,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the weights: .png, .svg or .pdf."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of halves, intervals and samples.")] = 0,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Fuse matchers into one that adds up their scores, with weights learnt on dev.

    Prints each one's weight and rsum alone, and what the fusion gains over the best of
    them: weights for one half of dev are learnt on the other. Unless the whole interval of
    the gain is above zero, only the best is kept. class-names and colour compare a text
    with the names of what a picture shows, and of its colours.

    [bold]visita fuse visita-small mine class-names --data mine.csv --out both[/bold]
    """
    check_out(out, force)
    fused = visita.fuse(matchers, rooted(data, root), out, dim=dim, plot=plot, seed=seed)
    warn(fused.warnings)
    if as_json:
        print_json(
            {
                "name": fused.matcher.name,
                "fingerprint": fused.matcher.fingerprint(),
                "folder": str(fused.folder),
                "dim": fused.matcher.dim,
                "seconds": fused.seconds,
                **fused.fusion,
                "dev": fused.report,
                "warnings": fused.warnings,
            }
        )
    else:
        _print(fused)


def _print(fused: visita.Fused) -> None:
    report, fusion = fused.report, fused.fusion
    print(
        f"learnt on dev: {counted(report['images'], 'image')}, {counted(report['texts'], 'text')}"
    )
    rows = [("", "weight", "rsum alone")]
    rows += [
        (part["name"], interval(part["weight"], digits=3), interval(part["rsum"]))
        for part in fusion["parts"]
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print(
            "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    print()
    print(f"fused, weights cross-fitted: rsum {interval(fusion['fused'])}")
    print(f"against the best alone:      {interval(fusion['gain'], sign='+')}")
    print(f"kept: {_kept(fusion)}")
    if short := fusion["shortened"]:
        cost = interval(short["rsum"], sign="+")
        print(f"shortened from {short['from']:,} to {short['to']:,} numbers: rsum {cost}")
    print()
    print(f"learnt in {fused.seconds:.0f} s, features not counted")
    print(f"matcher: {fused.folder}")


def _kept(fusion: dict[str, object]) -> str:
    if fusion["holds"]:
        return "the fusion: the whole interval of its gain is above zero"
    return f"{fusion['best']} alone: the interval of the fusion's gain is not above zero"
