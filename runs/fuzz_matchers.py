"""Change saved matchers, and all else that is an artifact, in thousands of hostile ways.

python runs/fuzz_matchers.py --out docs/results/fuzzed-matchers.md [--mutations 2000] [--seed 0]

Each change is made to a copy, by one that leaves the hashes or by one that makes them right
again; then it is loaded and used. It must be refused in one line or change no number (with the
hashes made right, it may be another matcher), all numbers must be finite, and nothing may be
looked up in a network. With ``--kinds``, only of the kinds named.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from altered import Outcome, mutate
from specimens import shipped, small_matchers, small_parts, use_of

HEAD = """| kind | changes | refused | no number changed | another matcher | faults |
|---|---:|---:|---:|---:|---:|"""
asked: list[str] = []


def main() -> None:
    """Write a Markdown table; exit status 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mutations", type=int, default=2000, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*")
    options = parser.parse_args()
    sys.addaudithook(_listen)
    lines, faults = [HEAD], 0
    with tempfile.TemporaryDirectory() as home:
        kinds = {**small_matchers(Path(home, "m")), **small_parts(Path(home, "p")), **shipped()}
        for name in options.kinds or kinds:
            outcomes = _fuzz(name, kinds[name], options.mutations, options.seed, Path(home, "copy"))
            faults += sum(one.fault is not None for one in outcomes)
            lines.append(_row(name, outcomes))
            print(lines[-1], flush=True)
    command = f"python runs/fuzz_matchers.py --mutations {options.mutations} --seed {options.seed}"
    said = f"`{command}`; names looked up in a network: {len(asked)}."
    title = "# Hostile changes of saved matchers and what else is an artifact"
    options.out.write_text("\n".join([title, "", said, "", *lines]) + "\n", "utf-8")
    sys.exit(bool(faults or asked))


def _fuzz(name: str, folder: Path, count: int, seed: int, copy: Path) -> list[Outcome]:
    rng = np.random.default_rng([seed, *name.encode()])
    use = use_of(name)
    right = use(folder)
    outcomes = []
    for number in range(count):
        outcomes.append(mutate(folder, rng, use, right, copy))
        if outcomes[-1].fault:
            print(f"FAULT {name} {number} {outcomes[-1].what}: {outcomes[-1].fault}", flush=True)
    return outcomes


def _row(name: str, outcomes: list[Outcome]) -> str:
    found = Counter(
        "fault" if o.fault else "refused" if o.refused else "other" if o.hidden else "same"
        for o in outcomes
    )
    counts = (found[key] for key in ("refused", "same", "other", "fault"))
    return f"| {name} | {len(outcomes)} | {' | '.join(map(str, counts))} |"


def _listen(event: str, arguments: tuple[object, ...]) -> None:
    if event == "socket.getaddrinfo":
        asked.append(str(arguments))


if __name__ == "__main__":
    main()
