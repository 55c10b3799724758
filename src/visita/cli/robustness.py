"""``visita robustness``: worse pictures, rare words, other pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import visita
from visita.cli.options import Json, Pairs, Root, check_out, rooted
from visita.cli.output import print_json
from visita.progress import warn


def robustness(
    matchers: Annotated[
        list[str],
        typer.Argument(metavar="MATCHER…", help="Shipped matchers or folders of saved ones."),
    ],
    data: Pairs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where report and cells go.")],
    also: Annotated[
        list[str] | None,
        typer.Option(metavar="PAIRS", help="Other pairs, measured whole. Repeatable."),
    ] = None,
    split: Annotated[str, typer.Option(help="Where to measure: dev or test.")] = "dev",
    seed: Annotated[int, typer.Option(help="Seed of the intervals.")] = 0,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Measure matchers on worse pictures, on texts with rare words and on other pairs.

    Noise, blur, JPEG and occlusion at five strengths; texts by how often train holds their
    rarest word. Writes report.html, report.md and report.json. Run the
    same command again to resume.

    [bold]visita robustness visita-small --data flickr8k:data/flickr8k --out robustness[/bold]
    """
    check_out(out)
    others = [rooted(place, root) for place in also or ()]
    report = visita.robustness(
        matchers, rooted(data, root), out, also=others, split=split, seed=seed
    )
    warn(report.warnings)
    if as_json:
        print_json(report.to_dict())
        return
    for paragraph in report.lead:
        print(paragraph)
    print(f"report: {out / 'report.html'}")
