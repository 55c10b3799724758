"""All commands in one table, in the order of the help; each is imported when it is asked for.

A row names a function, whose docstring is its help, or a ``typer.Typer`` with commands of its own.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

import visita
from visita.cli.output import print_json
from visita.errors import ConfigError, VisitaError, extras_named
from visita.home import cache_home
from visita.progress import one_line
from visita.registry import Registry

COMMANDS = Registry(
    "command",
    {
        "search": "visita.cli.search:search",
        "recommend": "visita.cli.recommend:recommend",
        "index": "visita.cli.index:index",
        "watch": "visita.cli.watch:watch",
        "serve": "visita.cli.serve:serve",
        "mcp": "visita.cli.mcp:mcp",
        "match": "visita.cli.match:match",
        "explain": "visita.cli.explain:explain",
        "caption": "visita.cli.caption:caption",
        "answer": "visita.cli.answer:answer",
        "models": "visita.cli.models:models",
        "use": "visita.cli.use:use",
        "extract": "visita.cli.extract:extract",
        "evaluate": "visita.cli.evaluate:evaluate",
        "compare": "visita.cli.compare:compare",
        "fuse": "visita.cli.fuse:fuse",
        "robustness": "visita.cli.robustness:robustness",
        "demo": "visita.cli.demo:demo",
        "gallery": "visita.cli.gallery:gallery",
        "data": "visita.cli.data:data",
        "train": "visita.cli.train:train",
        "reproduce": "visita.cli.reproduce:reproduce",
    },
)

ERROR, INTERRUPTED = 2, 130
ANY_WORDS = {"ignore_unknown_options": True, "allow_extra_args": True}
KEEPING = {"MPLCONFIGDIR": "matplotlib", "TORCHINDUCTOR_CACHE_DIR": "torch"}
"""Where libraries keep what they make, unless told otherwise: else they would in HOME or /tmp."""


class Imported(Mapping[str, Any]):
    """What Typer runs for each name of ``COMMANDS``, made when it is asked for."""

    def __getitem__(self, name: str) -> Any:
        if name not in COMMANDS:
            raise KeyError(name)
        alone = typer.Typer(rich_markup_mode="rich")
        try:
            part = COMMANDS.load(name)
        except ConfigError as error:  # of another package, which must not spoil the help
            alone.command(name, context_settings=ANY_WORDS)(_unusable(error))
        else:
            if isinstance(part, typer.Typer):
                alone.add_typer(part, name=name)
            else:
                alone.command(name)(part)
        return get_group(alone).commands[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS.names())

    def __len__(self) -> int:
        return len(COMMANDS.names())


def _unusable(error: ConfigError) -> Callable[[], None]:
    """Return the command that stands for one that cannot be imported, and says so."""

    def command() -> None:
        raise error

    command.__doc__ = str(error)
    return command


class Commands(TyperGroup):
    """Tells an error without a traceback; the exit status is then 2.

    An OSError, such as a full disk, names its file and needs no traceback either.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = Imported()  # type: ignore[assignment]

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        """Return the names, in the order of the help; imports no command."""
        del ctx
        return list(self.commands)

    def main(self, *args: Any, **settings: Any) -> NoReturn:
        """Parse the words of the command line, run the command that they name, and exit."""
        try:
            status = super().main(*args, **{**settings, "standalone_mode": False}) or 0
        except TyperException as error:
            status = fail(_usage(error)) if error.format_message() else ERROR  # it was the help
        except typer.Abort:
            status = fail("nothing was done", 1)
        sys.exit(interrupted() if status == INTERRUPTED else status)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the command that was asked for."""
        try:
            for variable, name in KEEPING.items():
                os.environ.setdefault(variable, str(cache_home() / name))
            # Damaged metadata does no harm, and what matters is in errors.
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            with extras_named("this command"):
                result: object = super().invoke(ctx)
            print(end="", flush=True)  # what cannot be written is noticed here, not at exit
        except BrokenPipeError as error:  # the reader has seen enough: visita … | head -1
            _stop_printing()
            raise typer.Exit from error
        except (VisitaError, OSError) as error:
            return fail(f"error: {error}")
        return result


def interrupted() -> int:
    """Tell that the user stopped the command, and return the status of that.

    Whoever stops it again need not wait for what still runs beside.
    """
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    return fail("interrupted; what was done is kept", INTERRUPTED)


def fail(line: str, status: int = ERROR) -> int:
    """Print what went wrong on stderr, with ``--json`` on stdout too, and return ``status``."""
    print(one_line(line), file=sys.stderr)
    words = sys.argv[1:]
    if "--json" in words[: words.index("--") if "--" in words else None]:
        with suppress(OSError):
            print_json({"error": line.removeprefix("error: ")})
            sys.stdout.flush()
            return status
    with suppress(OSError):
        print(end="", flush=True)
        return status
    _stop_printing()  # a full disk: at exit, Python would try once more
    return status


def _usage(error: TyperException) -> str:
    message = error.format_message().removeprefix("Invalid value: ").rstrip(".")
    if re.fullmatch("-[a-z]", getattr(error, "option_name", "")):
        message += ". A text that starts with '-' comes after '--':  visita search -- -dog Pictures"
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "visita"
    return f"error: {message}{'' if message.endswith('?') else '.'} See  {command} --help"


def _stop_printing() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


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
