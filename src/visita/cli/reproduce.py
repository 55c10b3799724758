"""``visita reproduce``: a paper's experiments on pairs of one's own."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import visita
from visita.cli.options import Features, Json, Pairs, Settings
from visita.cli.output import print_json

reproduce = typer.Typer(
    name="reproduce", help="Run a paper's experiments on pairs.", no_args_is_help=True
)


@reproduce.callback()
def group() -> None:
    """Run a paper's experiments on pairs."""


@reproduce.command()
def fusion(
    data: Pairs,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where report and cells go.")],
    image_encoder: Annotated[
        str, typer.Option(metavar="NAME", help="inception-v3 is the paper's own.")
    ] = "efficientnet-lite2",
    levels: Annotated[
        str | None,
        typer.Option(
            metavar="LEVEL,…",
            help="Levels of the encoder; the last one stands for fc.",
            show_default="block19:avg,head:avg or mixed9,fc",
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Where to measure: dev or test.")] = "dev",
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each network.")] = 5,
    settings: Settings = None,
    features: Features = None,
    as_json: Json = False,
) -> None:
    """Run Tables 2 to 5 and Fig. 3 of the multi-level fusion paper, and test its claims.

    Writes report.html, report.md and report.json. Interrupted or killed, the same
    command goes on where it was.

    [bold]visita reproduce fusion --data flickr8k:data/flickr8k --out fusion[/bold]
    """
    from visita.api.reproducing import levels_of  # noqa: PLC0415

    chosen = levels_of(image_encoder, levels.split(",") if levels else None)
    config = visita.PaperConfig.read(
        None, [f"image_levels={json.dumps(chosen)}", *(settings or ())]
    )
    report = visita.reproduce(
        "fusion", data, out, config=config, split=split, seeds=seeds, features=features
    )
    for warning in report.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    facts = report.to_dict()
    if as_json:
        print_json(facts)
    else:
        _print(facts)
        print(f"report: {out / 'report.html'}")


def _print(facts: dict[str, Any]) -> None:
    for paragraph in facts["lead"]:
        print(paragraph)
    print()
    for claim in facts["claims"]:
        paper = ", ".join(f"{source} {said}" for source, said in claim["paper"].items())
        print(f"{claim['outcome']}: {claim['claim']} ({claim['queries']}; paper: {paper})")
        for one in claim["differences"]:
            value, low, high = (f"{one[key]:+.1f}" for key in ("value", "low", "high"))
            print(f"    {one['metric']} {value} [{low}, {high}] against {one['baseline']}")
    print()
