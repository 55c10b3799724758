"""What marks that say wrong are worth: adapting with and without them, on held-back pictures.

python runs/refused.py --data flickr8k:PATH     two minutes; the outcome: docs/results/serving.md

Some pictures of dev have their captions as what was marked right, and each caption the picture that
``visita-small`` takes for it, and is not its own, as what was marked wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import visita
from visita.data import open_pairs, split_by_component
from visita.evaluation.measure import features_for, vectors
from visita.training.wrong import kept_apart, on_its_side

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from marked_wrong import refused

BASE = "visita-small"


def main() -> None:
    """Adapt on drawn pictures, for each seed, and print a row of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    dev = open_pairs(asked.data).take("dev")
    print("| seed | wrong | right above wrong, % | rsum |\n|--:|--:|--:|--:|")
    for seed in range(asked.seeds):
        pairs = dev.subset(dev.some_images(asked.pictures, seed))
        images, texts = split_by_component(pairs.truth, seed=seed)
        pairs = replace(pairs, image_split=images, text_split=texts)
        wrong = refused(pairs, BASE)
        config = visita.AdaptConfig(seed=seed)
        with tempfile.TemporaryDirectory() as scratch:
            one = visita.adapt(BASE, pairs, Path(scratch, "without"), config=config)
            two = visita.adapt(BASE, pairs, Path(scratch, "with"), config=config, wrong=wrong)
        parts = [part.take("test") for part in (pairs, on_its_side(wrong, pairs))]
        sides = [
            [vectors(matcher, features_for(matcher, part, None)) for part in parts]
            for matcher in (one.matcher, two.matcher)
        ]
        apart = kept_apart(*sides, *(part.truth.tocsr() for part in parts), seed)
        before = two.comparison["before"]
        told = [
            [before["right_above_wrong"], *(apart[side] for side in ("before", "after"))],
            [before["rsum"], *(each.comparison["after"]["rsum"] for each in (one, two))],
        ]
        cells = (" → ".join(f"{each['value']:.1f}" for each in row) for row in told)
        gain = "{value:+.1f} [{low:+.1f}, {high:+.1f}]".format(**apart["difference"])
        print(f"| {seed} | {two.comparison['wrong']} | {next(cells)} ({gain}) | {next(cells)} |")


if __name__ == "__main__":
    main()
