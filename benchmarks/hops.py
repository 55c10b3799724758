"""How many files of visita one command reads from, and how often it goes from one to another.

python benchmarks/hops.py search "a dog" Pictures      any command line of visita's

Runs the command in this process and counts with ``sys.setprofile``: a file is touched when one of
its functions is called, and a change of file is a call of a function in another file than the one
called before. What is only imported does not count, nor do lambdas and comprehensions. Run a
search twice: the first brings the folder in step.
"""

import sys
from collections import Counter
from inspect import CO_OPTIMIZED
from pathlib import Path
from types import FrameType
from typing import Any

import visita
from visita.cli import main

PACKAGE = f"{Path(visita.__file__).parent}/"


def count(words: list[str]) -> tuple[Counter[str], int]:
    """Run a command line; return how often functions of each file are called, and the changes."""
    calls: Counter[str] = Counter()
    changes = 0
    last = ""

    def watch(frame: FrameType, event: str, _: Any) -> None:
        nonlocal changes, last
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(PACKAGE):
            return
        if code.co_name.startswith("<") or not code.co_flags & CO_OPTIMIZED:
            return  # part of a function, or the body of a class that is being imported
        name = code.co_filename.removeprefix(PACKAGE)
        calls[name] += 1
        changes += name != last
        last = name

    sys.argv = ["visita", *words]
    sys.setprofile(watch)
    try:
        main()
    except SystemExit:
        pass
    finally:
        sys.setprofile(None)
    return calls, changes


if __name__ == "__main__":
    touched, moved = count(sys.argv[1:])
    for name, times in touched.most_common():
        print(f"{times:6} {name}", file=sys.stderr)
    print(f"{len(touched)} files, {moved} changes of file")
