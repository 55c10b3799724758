"""End work on galleries and stores at one change of the disk after another; nothing may be lost.

python runs/crash_points.py --out docs/results/crash-points.md [--points 500] [--seed 0]

Extraction, a first sync, one after changes, a compaction and the first sync of a gallery of
format 1 are each ended (SIGKILL) at their n-th change of the disk, every second time with what
was being written torn. After each, all that a reader finds has to be right, what was known
before has to be there, and run again the work has to become what it would have been.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from crashing import crash, points, scenarios

HEAD = """| work | changes of the disk | ended at | lost or wrong | not whole again |
|---|---:|---:|---:|---:|"""


def main() -> None:
    """Write a Markdown table; exit status 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--points", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    lines, bad = [HEAD], 0
    with tempfile.TemporaryDirectory() as folder:
        every = scenarios(Path(folder))
        for scenario in every:
            total = points(scenario, Path(folder, "count"))
            wanted = options.points // len(every)
            chosen = rng.choice(total, wanted, replace=wanted > total)
            outcomes = [
                crash(scenario, Path(folder, "work"), int(at), number if number % 2 else None)
                for number, at in enumerate(chosen)
            ]
            wrong = sum(not one.right for one in outcomes)
            halved = sum(not one.resumed for one in outcomes)
            bad += wrong + halved
            lines.append(f"| {scenario.name} | {total} | {wanted} | {wrong} | {halved} |")
            print(lines[-1], flush=True)
    title = f"# {options.points} crash points, seed {options.seed}"
    command = f"`python runs/crash_points.py --points {options.points} --seed {options.seed}`"
    options.out.write_text("\n".join([title, "", command, "", *lines]) + "\n", "utf-8")
    sys.exit(bool(bad))


if __name__ == "__main__":
    main()
