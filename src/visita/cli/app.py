"""All commands in one table."""

from __future__ import annotations

from typing import Annotated

import typer

import visita
from visita.cli.answer import answer
from visita.cli.caption import caption
from visita.cli.compare import compare
from visita.cli.data import data
from visita.cli.demo import demo
from visita.cli.evaluate import evaluate
from visita.cli.explain import explain
from visita.cli.extract import extract
from visita.cli.failing import Commands
from visita.cli.fuse import fuse
from visita.cli.gallery import gallery
from visita.cli.index import index
from visita.cli.match import match
from visita.cli.models import models
from visita.cli.recommend import recommend
from visita.cli.reproduce import reproduce
from visita.cli.robustness import robustness
from visita.cli.search import search
from visita.cli.train import train


def _version(wanted: bool) -> None:
    if wanted:
        print(visita.__version__)
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def start(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Match images and texts: search, train, measure.

    A first search: [bold]visita search "a dog on a beach" Pictures[/bold]

    Results go to stdout, everything else to stderr. Exit status: 0 found or done,
    1 nothing found, 2 an error, 130 interrupted. With --json an error is JSON too.
    """


for command in (
    *(search, recommend, index, match, explain, caption, answer),
    *(models, extract, evaluate, compare, fuse, robustness, demo),
):
    app.command()(command)
for group in (gallery, data, train, reproduce):
    app.add_typer(group)
