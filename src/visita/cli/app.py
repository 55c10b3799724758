"""All commands in one table, and what becomes of their errors."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer
from typer.core import TyperGroup

import visita
from visita.cli.answer import answer
from visita.cli.caption import caption
from visita.cli.compare import compare
from visita.cli.data import data
from visita.cli.demo import demo
from visita.cli.evaluate import evaluate
from visita.cli.explain import explain
from visita.cli.extract import extract
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
from visita.home import cache_home
from visita.names import one_line

KEEPING = {"MPLCONFIGDIR": "matplotlib", "TORCHINDUCTOR_CACHE_DIR": "torch"}
"""Where libraries keep what they make, unless told otherwise: else they would in HOME or /tmp."""


class Commands(TyperGroup):
    """Says in one line what went wrong; the exit status is 2, or 130 when interrupted.

    An OSError, such as a full disk, names its file and needs no traceback either.
    """

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the command that was asked for."""
        try:
            _keep_house()
            result: object = super().invoke(ctx)
            print(end="", flush=True)  # what cannot be written is noticed here, not at exit
        except BrokenPipeError as error:  # the reader has seen enough: visita … | head -1
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit from error
        except (visita.VisitaError, OSError) as error:
            _fail(f"error: {error}", 2, error)
        except KeyboardInterrupt as error:
            _fail("interrupted; what was done is kept", 130, error)
        return result


def _keep_house() -> None:
    for variable, name in KEEPING.items():
        os.environ.setdefault(variable, str(cache_home() / name))


def _fail(line: str, status: int, cause: BaseException) -> None:
    print(one_line(line), file=sys.stderr)
    raise typer.Exit(status) from cause


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
    1 nothing found, 2 an error.
    """


for command in (
    *(search, recommend, index, match, explain, caption, answer),
    *(models, extract, evaluate, compare, fuse, robustness, demo),
):
    app.command()(command)
for group in (gallery, data, train, reproduce):
    app.add_typer(group)
