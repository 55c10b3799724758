"""Kill extraction and synchronization many times over, and see that nothing is lost.

python runs/kills.py --out runs/kills.md [--real]

Each run is a process of its own, killed (SIGKILL) at a random moment of the batch after a
random number of acknowledged ones. With ``--real``, visita's own encoder reads pictures of
Flickr8k, found through ``VISITA_DATA``; otherwise a small one reads pictures drawn at random.
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
HEAD = """| killed | acknowledged | found | all found are right | resumed to the whole |
|---|---:|---:|---|---|"""


def main() -> None:
    """Write a Markdown table of all kills; exit status 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    lines, good = [HEAD], True
    with tempfile.TemporaryDirectory() as folder:
        pictures = Path(folder, "pictures")
        pictures.mkdir()
        _fill(pictures, options.real)
        for kind, label in (("store", "extraction"), ("gallery", "sync")):
            truth = expected(kind, pictures, make_encoder(options.real))
            for number in range(options.kills):
                after = int(rng.integers(1, PICTURES[options.real] // BATCH[options.real] - 2))
                home = Path(folder, f"{kind}-{number}")
                delay = rng.uniform(0, BATCH_SECONDS[options.real])
                outcome = kill_once(
                    kind, home, pictures, truth, after=after, delay=delay, real=options.real
                )
                good &= outcome.right and outcome.resumed
                lines.append(_line(f"{label} {number + 1}", outcome))
                print(lines[-1], flush=True)
    encoder = "visita's own encoder" if options.real else "a small encoder"
    title = f"# {options.kills} kills each, {PICTURES[options.real]} pictures, {encoder}"
    options.out.write_text("\n".join([title, "", *lines]) + "\n", "utf-8")
    sys.exit(not good)


def _fill(folder: Path, real: bool) -> None:
    if not real:
        for number in range(PICTURES[real]):
            draw_noise(folder / f"{number:03d}.png", number)
        return
    images = Path(os.environ["VISITA_DATA"], "flickr8k", "Images")
    for path in sorted(images.iterdir())[: PICTURES[real]]:
        (folder / path.name).symlink_to(path)


def _line(name: str, outcome: Outcome) -> str:
    yes = {True: "yes", False: "NO"}
    return (
        f"| {name} | {outcome.acknowledged} | {outcome.found} "
        f"| {yes[outcome.right]} | {yes[outcome.resumed]} |"
    )


if __name__ == "__main__":
    main()
