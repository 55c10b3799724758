"""``visita compare``: matchers side by side, in quality and in cost."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import visita
from visita.cli.options import Features, Folds, Json, Pairs, Root, check_out, rooted
from visita.cli.output import print_json
from visita.progress import say, warn


def compare(
    matchers: Annotated[
        list[str],
        typer.Argument(
            metavar="MATCHER…",
            help="Names, folders, or what is trained first: train:NAME[,key=value…]. "
            "NAME=A,B… is the mean of several.",
        ),
    ],
    data: Pairs,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Where report, cells and trained matchers go.")
    ],
    split: Annotated[str, typer.Option(help="Where to measure: train, dev or test.")] = "test",
    seeds: Annotated[
        int, typer.Option(min=1, help="Trainings of each system, by other seeds.")
    ] = 1,
    folds: Folds = 1,
    seed: Annotated[int, typer.Option(help="First seed of training; seed of intervals.")] = 0,
    features: Features = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Compare matchers on your pairs: recall, right and wrong pairs, speed, memory, size.

    Each number has its interval, each system a paired test against the best, and a
    plot shows which are best for their cost. Systems to train: fusion, mkl-visita
    and the baselines of [bold]visita train baseline[/bold]. Writes report.html, report.md and
    report.json. Run the same command again to resume. One that
    fails is reported, and the rest goes on.

    [bold]visita compare visita-small train:cca train:fusion --data mine.csv --out compared[/bold]
    [bold]visita compare visita-small clip:openai/clip-vit-base-patch32
    --data flickr30k:data/flickr30k --out compared[/bold]
    [bold]visita compare visita-small train:fusion,from=visita-small --data mine.csv
    --out compared --seeds 3[/bold]
    """
    check_out(out)
    report = visita.compare(
        matchers,
        rooted(data, root),
        out,
        split=split,
        seeds=seeds,
        folds=folds,
        seed=seed,
        features=features,
    )
    warn(report.warnings)
    if as_json:
        print_json(report.to_dict())
        return
    for paragraph in report.lead:
        print(paragraph)
    for failure in report.failed:
        say(f"failed: {failure.item} ({failure.reason})")
    print(f"report: {out / 'report.html'}")
