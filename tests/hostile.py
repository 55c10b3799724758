"""Running a command on hostile files: in a process of its own, its time and memory measured."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from zoo import landmark

from visita.cli import main
from visita.data import READERS, check_pairs

# What most commands import is imported once, before they begin.
PRELOADED = (check_pairs, *map(READERS.load, READERS.names()))

Make = Callable[[Path], object]
PAIRS = "image,text\na.jpg,a dog\nb.jpg,a cat\n"
MOST_SECONDS, MOST_MEGABYTES = 120, 1500
"""What one command may take of a processor and of memory."""
PATIENCE = 1200
"""Seconds after which one has no end."""
DIED = 255


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
    """Write the files of a case in ``folder``, which is new, and run its command.

    Both are processes forked from this one, which has imported visita and does nothing else.
    """
    folder.mkdir(parents=True)
    errors = folder.with_suffix(".err")
    environment = {"VISITA_HOME": str(home), **case.environment}
    _wait(_forked(lambda: _write(case, folder)))
    status, seconds, kilobytes = _wait(_forked(lambda: _command(case, folder, environment, errors)))
    said = errors.read_text("utf-8", "replace")
    found = Outcome("", said, seconds, kilobytes / 1000)
    return found._replace(fault=_fault(status, found))


def _write(case: Case, folder: Path) -> None:
    for name in "ab":
        landmark().resize((20, 20)).save(folder / f"{name}.jpg")
    case.make(folder)


def _command(case: Case, folder: Path, environment: Mapping[str, str], errors: Path) -> None:
    os.environ.update({key: one.replace("{}", str(folder)) for key, one in environment.items()})
    os.chdir(folder)
    streams = ((os.devnull, os.O_RDONLY), (os.devnull, os.O_WRONLY), (errors, os.O_RDWR))
    for number, (place, flags) in enumerate(streams):
        os.dup2(os.open(place, flags | os.O_CREAT), number)
    sys.argv = ["visita", *(word.replace("{}", str(folder)) for word in case.words)]
    main()


def _forked(work: Callable[[], None]) -> int:
    """Start ``work`` in a process of its own; its status is what it exits with."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = DIED
    try:
        work()
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(child: int) -> tuple[int, float, int]:
    """Return a process's exit status, its seconds of a processor and its most kilobytes."""
    started, most = time.monotonic(), 0
    while time.monotonic() - started < PATIENCE:
        # Not what wait4 tells, which begins with the memory of this process.
        most = max(most, _peak(child))
        done, status, usage = os.wait4(child, os.WNOHANG)
        if done:
            used = usage.ru_utime + usage.ru_stime
            return os.waitstatus_to_exitcode(status), used, most
        time.sleep(0.02)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return DIED, PATIENCE, most


def _peak(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    except OSError:
        return 0
    return next((int(one.split()[1]) for one in lines if one.startswith("VmHWM")), 0)


def _fault(status: int, found: Outcome) -> str:
    if "Traceback" in found.said:
        return "a traceback"
    if status not in (0, 1, 2):
        return "does not end" if status == DIED else f"status {status}"
    refused = found.said.strip().splitlines()[-1:] or [""]
    if status == 2 and not refused[0].startswith("error: "):
        return "no error of one line"
    if found.seconds > MOST_SECONDS:
        return "too slow"
    return "too much memory" if found.megabytes > MOST_MEGABYTES else ""
