"""Commands of visita, in this process or, where a test is about processes, in another."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import watch
from extras import skip_if_told

from visita.cli import main
from visita.progress import say_once

VISITA = (sys.executable, "-m", "visita")


class Done(NamedTuple):
    """What a command did."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON."""
        return json.loads(self.out)


def run(*words: object, stdin: str | bytes = "") -> Done:
    """Run a command in this process, where what it imports was imported before.

    As a process of its own would, it is watched, has said nothing yet, and leaves no variables.
    """
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    say_once.cache_clear()
    with (
        mock.patch.dict(os.environ),
        mock.patch.object(sys, "argv", ["visita", *map(_word, words)]),
        mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(_bytes(stdin)), "utf-8")),
        mock.patch.object(watch, "COMMAND_LINE", True),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as ended,
    ):
        main()
    printed, told = (stream.buffer.getvalue().decode() for stream in (out, err))
    skip_if_told(told)
    return Done(ended.value.code, printed, told)


def process(*words: object, stdin: str | bytes = "", command: Sequence[str] = VISITA) -> Done:
    """Run a command, or another program with such words, in a process of its own."""
    done = subprocess.run(
        [*command, *map(_word, words)], input=_bytes(stdin), capture_output=True, check=False
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err, err
    skip_if_told(err)
    return Done(done.returncode, out, err)


def _word(word: object) -> str:
    return os.fspath(word) if isinstance(word, Path) else str(word)


def _bytes(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
