"""What long work shows on stderr: a bar with rate and time left, and one line per skipped file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from visita.types import Skipped

_STEERS = (
    *(*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029),  # controls, line ends
    *(0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)),  # turns
)
_ESCAPED = {code: repr(chr(code))[1:-1] for code in _STEERS}


def one_line(text: str | Path) -> str:
    r"""Return ``text`` such that it breaks no line, steers no terminal, turns no word: ``a\nb``."""
    return str(text).translate(_ESCAPED)


class Advance(Protocol):
    """Called with the number of items that were just finished."""

    def __call__(self, done: int, /) -> None: ...


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def bar(label: str, total: int) -> Iterator[Advance]:
    """Show a bar on stderr while the block runs; in a pipe it draws nothing."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, disable=not (console.is_terminal and speaks())
    ) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)


def speaks() -> bool:
    """Tell whether this process prints: of several that train together, only the first does."""
    return os.environ.get("RANK", "0") == "0"


def say(line: str) -> None:
    """Print one line on stderr, where it does not disturb the results on stdout."""
    if speaks():
        print(one_line(line), file=sys.stderr, flush=True)


@cache
def say_once(line: str) -> None:
    """Print one line on stderr, the first time that this process has it to say."""
    say(line)


def note(line: str) -> None:
    """Say how a number is to be read, where that is not plain: one line, as of every command."""
    say(f"note: {line}")


def warn(lines: Iterable[str]) -> None:
    """Print one line for each thing that may be wrong."""
    for line in lines:
        say(f"warning: {line}")


def report_skipped(skipped: Iterable[Skipped]) -> None:
    """Print one line for each skipped item: its name and the reason."""
    for skip in skipped:
        say(f"skipped {skip.item}: {skip.reason}")
