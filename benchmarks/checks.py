"""What it costs a cold search to check the matcher and the graphs that it reads.

python benchmarks/checks.py FOLDER [--rounds 5]

FOLDER is one that was indexed with the default matcher. Processor seconds, which do not depend on
what else the machine does; the checks are made in this process as a search makes them.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from visita.artifact import MANIFEST, _check_files, read_sealed
from visita.durable import checksum_of
from visita.home import cache_home
from visita.matchers import DEFAULT, shipped_folder

READ = ("minilm-l6-", f"{DEFAULT}-text-")
"""How the graphs begin that a search by text runs."""


def main() -> None:
    """Print the medians and their share."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    command = [str(Path(sys.executable).with_name("visita")), "search", "a dog"]
    search = [*command, str(options.folder)]
    subprocess.run(search, check=False, capture_output=True)  # makes what is missing
    whole = np.median([_children(search) for _ in range(options.rounds)])
    for name, check in (("matcher", check_matcher), ("graphs", check_graphs)):
        spent = np.median([_spent(check) for _ in range(options.rounds)])
        print(f"{name}: {spent * 1e3:.1f} ms, {100 * spent / whole:.1f} % of {whole:.2f} s")


def check_matcher() -> None:
    """Check the default matcher's manifests and files."""
    for path in shipped_folder(DEFAULT).rglob(MANIFEST):
        _check_files(path.parent, "matcher", read_sealed(path)["files"])


def check_graphs() -> None:
    """Check the graphs that a search by text runs."""
    for folder in (cache_home() / "graphs").iterdir():
        if folder.is_dir() and folder.name.startswith(READ):
            for file in folder.iterdir():
                checksum_of(file)


def _children(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=False, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _spent(check: Callable[[], None]) -> float:
    started = time.process_time()
    check()
    return time.process_time() - started


if __name__ == "__main__":
    main()
