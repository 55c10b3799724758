"""What becomes of an error: a line on stderr, with ``--json`` an object on stdout, a status."""

from __future__ import annotations

import os
import re
import signal
import sys
import warnings
from contextlib import suppress
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from visita.cli.output import print_json
from visita.errors import VisitaError
from visita.home import cache_home
from visita.progress import one_line

ERROR, INTERRUPTED = 2, 130
KEEPING = {"MPLCONFIGDIR": "matplotlib", "TORCHINDUCTOR_CACHE_DIR": "torch"}
"""Where libraries keep what they make, unless told otherwise: else they would in HOME or /tmp."""


class Commands(TyperGroup):
    """Tells an error without a traceback; the exit status is then 2.

    An OSError, such as a full disk, names its file and needs no traceback either.
    """

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
    told = error.format_message().removeprefix("Invalid value: ").rstrip(".")
    if re.fullmatch("-[a-z]", getattr(error, "option_name", "")):
        told += ". A text that starts with '-' comes after '--':  visita search -- -dog Pictures"
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "visita"
    return f"error: {told}{'' if told.endswith('?') else '.'} See  {command} --help"


def _stop_printing() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
