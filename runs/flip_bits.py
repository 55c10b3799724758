"""Flip bits of what visita saves, one at a time, and see that no number is wrong in silence.

python runs/flip_bits.py --out docs/results/flipped-bits.md [--seed 0] [--most 2000]

Every bit of each file up to 16 KB, and ``--most`` random bits of each that is larger. After each,
the thing is loaded and used, in one process: it must be refused in one line, be made again, or
give the same numbers. A kind of file is a line of ``kinds``: where one is, and what uses it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from altered import Outcome, judged
from specimens import Use, small_matchers, small_parts, use_of

from visita.encoders.export import CachedNetwork
from visita.errors import ArtifactError
from visita.reports.cells import Cell, Result, _read, run_cells
from visita.training.loop import resumable

SMALL = 16 * 1024
HEAD = """| kind | file | bytes | bits | refused or made again | no number changed | faults |
|---|---|---:|---:|---:|---:|---:|"""


def kinds(folder: Path) -> dict[str, tuple[Path, Use]]:
    """Return a specimen of every kind, and what loads it and gives its numbers."""
    saved = {**small_matchers(folder / "matchers"), **small_parts(folder / "parts")}
    known: dict[str, tuple[Path, Use]] = {}
    known |= {name: (path, use_of(name)) for name, path in saved.items()}
    known["graph"] = _graph(), _use_graph
    known["cell"] = _cell(folder / "cells"), _use_cell
    known["journal of a run"] = _run(folder / "out"), _use_run
    return known


def main() -> None:
    """Write a Markdown table; exit status 1 if there was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=int, default=2000, help="bits of a large file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="*")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    lines, faults = [HEAD], 0
    with tempfile.TemporaryDirectory() as home:
        known = kinds(Path(home))
        for name in options.kinds or known:
            folder, use = known[name]
            for path in sorted(p for p in folder.rglob("*") if p.is_file()):
                outcomes = list(_flips(path, folder, use, rng, options.most))
                faulty = [one for one in outcomes if one.fault]
                faults += len(faulty)
                refused = sum(one.refused for one in outcomes)
                lines.append(
                    f"| {name} | {path.relative_to(folder)} | {path.stat().st_size:,} | "
                    f"{len(outcomes):,} | {refused:,} | "
                    f"{len(outcomes) - refused - len(faulty):,} | {len(faulty)} |"
                )
                print(lines[-1], *faulty[:3], sep="\n", flush=True)
    said = f"`python runs/flip_bits.py --most {options.most} --seed {options.seed}`"
    title = "# One flipped bit in what visita saves"
    options.out.write_text("\n".join([title, "", said, "", *lines]) + "\n", "utf-8")
    sys.exit(bool(faults))


def _flips(
    path: Path, folder: Path, use: Use, rng: np.random.Generator, most: int
) -> Iterator[Outcome]:
    content = path.read_bytes()
    bits = np.arange(len(content) * 8)
    if len(content) > SMALL:
        bits = rng.choice(bits, most, replace=False)
    right = use(folder)
    for bit in bits.tolist():
        with path.open("r+b") as file:
            file.seek(bit // 8)
            file.write(bytes([content[bit // 8] ^ 1 << bit % 8]))
        with contextlib.redirect_stderr(io.StringIO()):
            yield judged(f"bit {bit} of {path}", lambda: use(folder), right, honest=True)
        path.write_bytes(content)


def _network() -> CachedNetwork:
    shape = [(-1, 40)]
    example = np.random.default_rng(0).random((3, 40), np.float32)
    return CachedNetwork("flipped", {}, lambda: nn.Linear(40, 60).eval(), lambda: [example], shape)


def _graph() -> Path:
    _network().runner()
    return _network().folder


def _use_graph(_: Path) -> Any:
    network = _network()
    kept = network._kept()
    if kept is None:
        raise ArtifactError("it is made again")
    return [*kept(*network.examples())]


def _cell(folder: Path) -> Path:
    arrays = {"a": np.arange(5.0)}
    run_cells(folder, [Cell("one", {})], lambda _: Result({"x": 1.5}, arrays), {"seed": 0})
    return next(path for path in folder.iterdir() if (path / "manifest.json").is_file())


def _use_cell(folder: Path) -> Any:
    whole = {path: path.read_bytes() for path in folder.iterdir()}
    found = _read(folder)
    if found is None:  # it was deleted, to be computed anew
        folder.mkdir()
        for path, content in whole.items():
            path.write_bytes(content)
        raise ArtifactError("it is computed anew")
    return [dict(found.facts), *found.arrays.values()]


FACTS = {"config": {"epochs": 3, "seed": 0}, "data": "0123456789abcdef"}


def _run(out: Path) -> Path:
    with contextlib.suppress(InterruptedError), resumable(out, FACTS) as folder:
        (folder / "second").mkdir()
        raise InterruptedError
    return folder


def _use_run(folder: Path) -> Any:
    out = folder.with_name(folder.name.removesuffix(".partial"))
    went_on = True
    with contextlib.suppress(InterruptedError), resumable(out, FACTS) as again:
        went_on = (again / "second").is_dir()
        (again / "second").mkdir(exist_ok=True)
        raise InterruptedError
    if not went_on:
        raise ArtifactError("the run starts anew")
    return [went_on]


if __name__ == "__main__":
    main()
