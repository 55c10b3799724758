"""Hand visita what a stranger might, and see that each is read or refused in one line.

python runs/hostile_data.py --out docs/results/hostile-data.md [--only WORD …] [--sample N]

Tables, JSON, Parquet, tars, folders, articles, settings and homes (``tests/hostile.py``): each is
a command in a process of its own. It must end with a status of 0, 1 or 2, without a traceback,
within the seconds and the memory that are allowed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from hostile import MOST_MEGABYTES, MOST_SECONDS, run_case
from hostile_cases import CASES, ORDINARY

HEAD = "| what | seconds | MB | what was said last |\n|---|---:|---:|---|"
SHOWN = 110


def main() -> None:
    """Write a Markdown table of all cases; exit status 1 if any is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*", default=[""], help="cases with one of these words")
    parser.add_argument("--sample", type=int, help="so many of them, drawn by the seed")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    names = [name for name in CASES if any(word in name for word in options.only)]
    if options.sample is not None:
        names = random.Random(options.seed).sample(names, options.sample)
    lines, faults = [HEAD], []
    with tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch, "home")
        if any(name.startswith("article") for name in names):
            run_case(ORDINARY, Path(scratch, "ordinary"), home)  # exports the networks, once
        for number, name in enumerate(names):
            outcome = run_case(CASES[name], Path(scratch, str(number)), home)
            last = (outcome.said.strip().splitlines() or ["read"])[-1]
            said = outcome.fault.upper() or last.replace(scratch, "").replace("|", "\\|")[:SHOWN]
            lines.append(f"| {name} | {outcome.seconds:.1f} | {outcome.megabytes:.0f} | {said} |")
            faults += [name] if outcome.fault else []
            print(lines[-1], outcome.said[-2000:] if outcome.fault else "", flush=True)
    title = f"# {len(names)} hostile files, settings and homes: {len(faults)} faults"
    allowed = (
        f"Each within {MOST_SECONDS} s of a processor and {MOST_MEGABYTES:,} MB, read or refused "
        f"in one line, by `runs/hostile_data.py`."
    )
    options.out.write_text("\n\n".join([title, allowed, "\n".join(lines)]) + "\n", "utf-8")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
