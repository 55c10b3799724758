"""Kill extraction and synchronization many times over, and see that nothing is lost.

python runs/kills.py --out docs/results/kills.md [--kills 280] [--real 20] [--seed 0]

Each run is a process of its own, killed (SIGKILL) at a random moment of the batch after a
random number of acknowledged ones: half of them extract, half bring a gallery in step. Some
read pictures of Flickr8k with visita's own encoder, found through ``VISITA_DATA``; the others
read pictures drawn at random with a small one.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from killing import Outcome, expected, kill_once, make_encoder
from standin import draw_noise

PICTURES = {False: 120, True: 512}
BATCH = {False: 4, True: 64}
BATCH_SECONDS = {False: 0.02, True: 1.0}
HEAD = """| work | encoder | kills | acknowledged | found | lost or wrong | not whole again |
|---|---|---:|---:|---:|---:|---:|"""


def main() -> None:
    """Write a Markdown table; exit status 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=280, help="with the small encoder")
    parser.add_argument("--real", type=int, default=20, help="with visita's own")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    lines, good = [HEAD], True
    with tempfile.TemporaryDirectory() as folder:
        for real, kills in ((False, options.kills), (True, options.real)):
            pictures = Path(folder, f"pictures-{real}")
            pictures.mkdir()
            if kills:
                _fill(pictures, real)
            for kind, label in (("store", "extraction"), ("gallery", "sync")):
                outcomes = _killed(kind, pictures, kills // 2, real, rng)
                good &= all(one.right and one.resumed for one in outcomes)
                lines.append(_line(label, "visita's own" if real else "small", outcomes))
                print(lines[-1], flush=True)
    number = options.kills + options.real
    command = f"`python runs/kills.py --kills {options.kills} --real {options.real}`"
    title = f"# {number} kills, seed {options.seed}"
    options.out.write_text("\n".join([title, "", command, "", *lines]) + "\n", "utf-8")
    sys.exit(not good)


def _killed(
    kind: str, pictures: Path, kills: int, real: bool, rng: np.random.Generator
) -> list[Outcome]:
    truth = expected(kind, pictures, make_encoder(real)) if kills else {}
    outcomes = []
    for _ in range(kills):
        after = int(rng.integers(1, PICTURES[real] // BATCH[real] - 2))
        delay = rng.uniform(0, BATCH_SECONDS[real])
        with tempfile.TemporaryDirectory() as home:
            outcomes.append(
                kill_once(kind, Path(home), pictures, truth, after=after, delay=delay, real=real)
            )
    return outcomes


def _fill(folder: Path, real: bool) -> None:
    if not real:
        for number in range(PICTURES[real]):
            draw_noise(folder / f"{number:03d}.png", number)
        return
    images = Path(os.environ["VISITA_DATA"], "flickr8k", "Images")
    for path in sorted(images.iterdir())[: PICTURES[real]]:
        (folder / path.name).symlink_to(path)


def _line(work: str, encoder: str, outcomes: list[Outcome]) -> str:
    acknowledged = sum(one.acknowledged for one in outcomes)
    found = sum(one.found for one in outcomes)
    wrong = sum(not one.right for one in outcomes)
    halved = sum(not one.resumed for one in outcomes)
    return (
        f"| {work} | {encoder} | {len(outcomes)} | {acknowledged:,} | {found:,} "
        f"| {wrong} | {halved} |"
    )


if __name__ == "__main__":
    main()
