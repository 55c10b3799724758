"""Read and index pictures that strangers made to break what reads them; see that nothing breaks.

python runs/hostile_pictures.py [--matcher NAME] [--out docs/results/hostile-pictures.md]

Each file is decoded by a process of its own, whole and reduced, which may take so much time and
memory and no more. Then ``visita index`` reads the folder with all of them and one good picture.
Every file must be read or refused with a reason, the good picture must be found, and what is
printed must hold no traceback, no warning of a library and nothing that steers a terminal. Exit
status 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from bombs import write_hostile

from visita.data import decode
from visita.errors import PictureError
from visita.progress import one_line

SECONDS = 60
MEGABYTES = 700
"""The budget of 600, and the process itself, which needs Linux to be measured."""
INDEX_SECONDS = 900
HEAD = """| file | outcome | MB | seconds |
|---|---|---:|---:|"""
BAD = re.compile(r"Traceback|Warning|[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\u200f]")


def main() -> None:
    """Write a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--matcher", default="visita-small")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    lines, faults = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "hostile")
        names = write_hostile(folder)
        for name in names:
            said, megabytes, seconds, fault = decoded(folder / name)
            shown = one_line(name.encode("utf-8", "backslashreplace").decode())
            cells = [f"`{shown}`", said.replace("|", "\\|"), f"{megabytes}", f"{seconds:.1f}"]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
            faults += [f"- {shown}: {fault}"] if fault else []
        together, more = indexed(folder, Path(scratch, "home"), options.matcher)
    faults += [f"- index: {fault}" for fault in more]
    summary = f"{len(names)} files, {len(faults)} faults. {together}"
    text = "\n".join(["# Hostile pictures", "", summary, *faults, "", HEAD, *lines]) + "\n"
    print(summary, *faults, sep="\n")
    if options.out:
        options.out.write_text(text, "utf-8")
    sys.exit(bool(faults))


def decoded(path: Path) -> tuple[str, int, float, str]:
    """Return what came of a file, the most memory, the time, and what is wrong with that."""
    context = multiprocessing.get_context("fork")  # so that each need not import all again
    answer, into = context.Pipe(duplex=False)
    child = context.Process(target=decode_both_ways, args=(path, into))
    started = time.monotonic()
    child.start()
    into.close()
    try:
        said, megabytes = answer.recv() if answer.poll(2 * SECONDS) else ("took too long", 0)
    except EOFError:
        child.join()
        said, megabytes = f"ended with status {child.exitcode}", 0
    child.kill()
    child.join()
    seconds = time.monotonic() - started
    fault = "" if megabytes and said else said or "no reason is given"
    fault = fault or ("took too much memory" if megabytes > MEGABYTES else "")
    return said, megabytes, seconds, fault or ("took too long" if seconds > SECONDS else "")


def decode_both_ways(path: Path, into: Connection) -> None:
    """Send what comes of decoding a file whole, then reduced, and the most memory, in MB."""
    # Forget the most memory of the parent.
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    warnings.simplefilter("ignore")  # the command has a filter of its own
    for reduced in (False, True):
        try:
            picture = decode(path, reduced=reduced)
            said = f"read, {picture.width} x {picture.height}"
        except PictureError as error:
            said = str(error)
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text("utf-8"))
    assert peak is not None
    into.send((said, int(peak[1]) * 1024 // 10**6))


def indexed(folder: Path, home: Path, matcher: str) -> tuple[str, list[str]]:
    """Index all files at once; return a sentence on it, and its faults."""
    started = time.monotonic()
    command = [sys.executable, "-m", "visita", "index", folder, "--matcher", matcher, "--json"]
    done = subprocess.run(
        command,
        env={**os.environ, "VISITA_HOME": str(home)},
        capture_output=True,
        check=False,
        timeout=INDEX_SECONDS,
    )
    errors = done.stderr.decode("utf-8", "replace")
    faults = [f"stderr holds {found!r}" for found in sorted(set(BAD.findall(errors)))]
    if done.returncode:
        return "", [*faults, f"status {done.returncode}: {errors[-500:]}"]
    [report] = json.loads(done.stdout)["galleries"]
    skipped = report["skipped"]
    faults += [f"no reason: {one['item']}" for one in skipped if not one["reason"]]
    read, seconds = report["added"], time.monotonic() - started
    return f"`visita index` of all: {read} read, {len(skipped)} skipped, {seconds:.0f} s.", faults


if __name__ == "__main__":
    main()
