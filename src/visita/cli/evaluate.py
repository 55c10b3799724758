"""``visita evaluate``: measure a matcher on pairs."""

from __future__ import annotations

from typing import Annotated

import typer

import visita
from visita.brief import counted
from visita.cli.options import Features, Folds, Json, Pairs, Root, TextEncoder, rooted
from visita.cli.output import print_json, print_languages, print_protocols
from visita.progress import warn


def evaluate(
    matcher: Annotated[
        str,
        typer.Argument(metavar="MATCHER", help="A shipped matcher or the folder of a saved one."),
    ],
    data: Pairs,
    split: Annotated[str, typer.Option(help="train, dev (or val), test or all.")] = "test",
    protocol: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="retrieval, pairs or newsimages. Repeatable.",
            show_default="retrieval and pairs",
        ),
    ] = None,
    folds: Folds = 1,
    seed: Annotated[int, typer.Option(help="Seed of the intervals and of false pairs.")] = 0,
    features: Features = None,
    text_encoder: TextEncoder = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Measure a matcher on one split; every number has its 95 % interval.

    [bold]visita evaluate visita-small --data flickr8k:data/flickr8k --split dev[/bold]

    COCO's 5K protocol, and with --folds 5 its 1K protocol:
    [bold]visita evaluate visita-small --data karpathy-with-restval:dataset_coco.json[/bold]

    COCO's official files, val2017 alone, or 70 / 15 / 15 drawn by --seed:
    [bold]visita evaluate visita-small --data coco:COCO --split val[/bold]
    [bold]visita evaluate visita-small --data coco-drawn:COCO[/bold]
    """
    from visita.evaluation import PROTOCOLS  # noqa: PLC0415

    report = visita.evaluate(
        visita.load(matcher, text_encoder=text_encoder),
        rooted(data, root),
        split=split,
        protocols=protocol or PROTOCOLS,
        folds=folds,
        seed=seed,
        features=features,
    )
    if as_json:
        print_json(report)
        return
    name, summary = (
        report["matcher"]["name"],
        f"{counted(report['images'], 'image')}, {counted(report['texts'], 'text')}",
    )
    print(f"{name} on {report['data']['source']}, {split}: {summary}")
    warn(report["warnings"])
    if folds > 1:
        sizes = ", ".join(f"{size:,}" for size in report["protocols"]["retrieval"]["folds"])
        print(f"retrieval: the mean over {folds} folds of {sizes} images")
    print_protocols(report["protocols"])
    if rest := report.get("without_seen"):
        print(f"{counted(rest['images'], 'picture')} that {name} never saw, in the same gallery")
        print_protocols(rest["protocols"])
    print_languages(report.get("by_language", {}))
