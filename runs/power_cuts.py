"""Cut the power of a disk at random points while visita writes to it, and look at what is left.

python runs/power_cuts.py --out docs/results/power-cuts.md [--cuts 50] [--seed 0]

Of each kind of run one is recorded: every block written to a file system of its own, and every
flush. A cut leaves what was written before the last flush, and of the rest all, nothing or a
random half of the blocks. The file system is then mounted and looked at. Needs root, FUSE and
the package fusepy.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from blocklog import why_not
from powercuts import PREPARE, after_cut, record

HEAD = """| run | blocks written | flushes | cuts | faults |
|---|---:|---:|---:|---:|"""


def main() -> None:
    """Write a Markdown table; exit status 1 if anything was lost or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cuts", type=int, default=50, help="of each kind of run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=list(PREPARE))
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    lines, faults = [HEAD], 0
    for kind in options.kinds:
        rng = np.random.default_rng([options.seed, *kind.encode()])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            recording = record(kind, folder)
            events = recording.log.events
            found = []
            for at in rng.integers(recording.started, len(events), options.cuts).tolist():
                found.append(after_cut(kind, folder, recording, at, rng))
                if found[-1]:
                    print(f"FAULT {kind}, event {at} of {len(events)}: {found[-1]}", flush=True)
        wrong = sum(map(bool, found))
        faults += wrong
        flushes = events.count(None)
        lines.append(f"| {kind} | {len(events) - flushes} | {flushes} | {len(found)} | {wrong} |")
        print(lines[-1], flush=True)
    said = f"`python runs/power_cuts.py --cuts {options.cuts} --seed {options.seed}`"
    title = "# Power cuts at random points"
    options.out.write_text("\n".join([title, "", said, "", *lines]) + "\n", "utf-8")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
