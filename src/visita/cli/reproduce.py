"""``visita reproduce``: a paper's experiments on pairs of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

import visita
from visita.cli.options import Features, Json, Pairs, Root, Settings, check_out, rooted
from visita.cli.output import print_json
from visita.progress import warn

Out = Annotated[Path, typer.Option(metavar="DIR", help="Where report and cells go.")]
Split = Annotated[str, typer.Option(help="Where to measure: dev or test.")]
Seeds = Annotated[int, typer.Option(min=1, help="Trainings of each network, by other seeds.")]

reproduce = typer.Typer(
    name="reproduce", help="Run a paper's experiments on pairs.", no_args_is_help=True
)


@reproduce.callback()
def group() -> None:
    """Run a paper's experiments on pairs."""


@reproduce.command()
def fusion(
    data: Pairs,
    out: Out,
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
    split: Split = "dev",
    seeds: Seeds = 5,
    settings: Settings = None,
    features: Features = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Run Tables 2 to 5 and Fig. 3 of the multi-level fusion paper, and test its claims.

    Writes report.html, report.md and report.json. Run the same command
    again to resume, or in a second process to share the work.

    [bold]visita reproduce fusion --data flickr8k:data/flickr8k --out fusion[/bold]
    """
    from visita.papers.reproduce import levels_of  # noqa: PLC0415

    check_out(out)
    chosen = levels_of(image_encoder, levels.split(",") if levels else None)
    config = visita.PaperConfig.read(
        None, [f"image_levels={json.dumps(chosen)}", *(settings or ())]
    )
    report = visita.reproduce(
        "fusion",
        rooted(data, root),
        out,
        config=config,
        split=split,
        seeds=seeds,
        features=features,
    )
    _show(report.to_dict(), out, as_json)


@reproduce.command("mkl-visita")
def mkl_visita(
    data: Pairs,
    out: Out,
    split: Split = "dev",
    seeds: Seeds = 5,
    ablation_seeds: Annotated[
        int, typer.Option(min=1, help="Trainings of each ablation and of what it is compared with.")
    ] = 1,
    paper_epochs: Annotated[
        int, typer.Option(min=1, help="Of its 100 epochs, where its own training is run.")
    ] = 3,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MATCHER", help="Add a row for this matcher, such as clip:NAME. Repeatable."
        ),
    ] = None,
    settings: Settings = None,
    features: Features = None,
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Run Tables 1 and 2 of MKL-VisITA, remove its parts one by one, and test its claims.

    Writes report.html, report.md and report.json. Run the same command
    again to resume, or in a second process to share the work. On the 6,000 pictures of
    Flickr8k it takes some hours on two cores.

    [bold]visita reproduce mkl-visita --data flickr8k:data/flickr8k --out mkl-visita[/bold]
    [bold]visita reproduce mkl-visita --data mine.csv --out it --set 'second={"epochs": 2}'[/bold]
    [bold]visita reproduce mkl-visita --data flickr30k:data/flickr30k --out it --split test
    --also clip:openai/clip-vit-base-patch32 --also blip:Salesforce/blip-itm-base-flickr[/bold]
    """
    from visita.papers.reproduce import two_stages  # noqa: PLC0415

    check_out(out)
    config = two_stages(settings or ())
    report = visita.reproduce(
        "mkl-visita",
        rooted(data, root),
        out,
        config=config,
        split=split,
        seeds=seeds,
        ablation_seeds=ablation_seeds,
        paper_epochs=paper_epochs,
        others=also or (),
        features=features,
    )
    _show(report.to_dict(), out, as_json)


def _show(facts: dict[str, Any], out: Path, as_json: bool) -> None:
    warn(facts["warnings"])
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
        for difference in claim["differences"]:
            value, low, high = (f"{difference[key]:+.1f}" for key in ("value", "low", "high"))
            print(
                f"    {difference['metric']} {value} [{low}, {high}] "
                f"against {difference['baseline']}"
            )
    print()
