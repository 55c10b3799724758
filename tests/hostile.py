"""What a stranger may hand over in place of pairs, articles, settings and homes, and what becomes
of it: each case is a command in a process of its own, with its time and memory measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from zoo import landmark

Make = Callable[[Path], object]
PAIRS = "image,text\na.jpg,a dog\nb.jpg,a cat\n"
MOST_SECONDS, MOST_MEGABYTES = 120, 1500
"""What one command may take, on a machine that does nothing else."""


class Case(NamedTuple):
    """What is written, and the command that reads it; ``{}`` in it is the folder."""

    make: Make
    words: tuple[str, ...]
    environment: Mapping[str, str] = MappingProxyType({})


class Outcome(NamedTuple):
    """What became of a case."""

    fault: str
    """Why it is not as it should be, or ``""``."""
    said: str
    seconds: float
    megabytes: float


def run_case(case: Case, folder: Path, home: Path) -> Outcome:
    """Write the files of a case in ``folder``, which is new, and run its command."""
    folder.mkdir(parents=True)
    for name in "ab":
        landmark().resize((20, 20)).save(folder / f"{name}.jpg")
    case.make(folder)
    words = [word.replace("{}", str(folder)) for word in case.words]
    environment = {**os.environ, "VISITA_HOME": str(home), **case.environment}
    started = time.monotonic()
    with (folder.parent / f"{folder.name}.err").open("w+b") as errors:
        child = subprocess.Popen(
            [sys.executable, "-m", "visita", *words],
            env={key: value.replace("{}", str(folder)) for key, value in environment.items()},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=folder,
        )
        try:
            usage, status = _wait(child, started)
        except TimeoutError:
            return Outcome("does not end", "", time.monotonic() - started, 0)
        errors.seek(0)
        said = errors.read().decode("utf-8", "replace")
    seconds, megabytes = time.monotonic() - started, usage / 1000
    return Outcome(_fault(status, said, megabytes), said, seconds, megabytes)


def _wait(child: subprocess.Popen[bytes], started: float) -> tuple[int, int]:
    """Return the most memory of the process, in kilobytes, and its exit status."""
    while time.monotonic() - started < MOST_SECONDS:
        done, status, usage = os.wait4(child.pid, os.WNOHANG)
        if done:
            child.returncode = os.waitstatus_to_exitcode(status)
            return usage.ru_maxrss, child.returncode
        time.sleep(0.02)
    child.kill()
    child.wait()
    raise TimeoutError


def _fault(status: int, said: str, megabytes: float) -> str:
    last = said.strip().splitlines()[-1:] or [""]
    if "Traceback" in said:
        return "a traceback"
    if status not in (0, 1, 2):
        return f"status {status}"
    if status == 2 and not (last[0].startswith("error: ") or "Usage" in said or "╰" in said):
        return "no error of one line"
    return "too much memory" if megabytes > MOST_MEGABYTES else ""
