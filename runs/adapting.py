"""How much adapting helps: 100, 300 and 1,000 pairs of a topic the starting model never saw.

python runs/adapting.py --data flickr8k:PATH --out FILE.json

The topic is every image of which two captions or more hold one of ``WORDS``. A start is
trained on the other training images; it is then adapted to n topic images (70 / 30 train
and dev) and measured on the dev images of the topic, which neither saw. An image gives one
pair, with one caption drawn, or five, with all of them. A second start without 2,000
random images shows the case where the new pairs are more of the same.
"""

import argparse
import json
import re
import tempfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.data import PairSet, open_pairs
from visita.training.adapt import adapt
from visita.training.config import FusionConfig
from visita.training.train import train
from visita.types import Matcher

WORDS = (
    "snow",
    "snowy",
    "ski",
    "skier",
    "skiing",
    "snowboarder",
    "snowboard",
    "ice",
    "bike",
    "biker",
)
WORDS += (
    "bicycle",
    "bicyclist",
    "motorcycle",
    "motorbike",
    "skateboard",
    "skateboarder",
    "climbing",
)
WORDS += ("climber", "rock", "surfer", "surfing", "wave")
SIZES = (100, 300, 1000)
CAPTIONS = (1, 5)
SEED = 0


def main() -> None:
    """Train both starts, adapt each to every size, print and write the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    pairs = open_pairs(options.data)
    results = []
    for name, unseen, held_back in parts(pairs):
        seen = np.flatnonzero((pairs.image_split == "train") & ~unseen)
        start_on = pairs.subset(np.concatenate([seen, np.flatnonzero(pairs.image_split == "dev")]))
        with tempfile.TemporaryDirectory() as folder:
            start = train(start_on, Path(folder, "start"), config=FusionConfig(seed=SEED)).matcher
            for captions, size in product(CAPTIONS, SIZES):
                own = own_pairs(pairs, np.flatnonzero(unseen), held_back, size, captions)
                given = {"part": name, "images_given": size, "captions": captions}
                results.append({**given, **adapted(start, own, folder)})
                print(line(results[-1]), flush=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def parts(pairs: PairSet) -> list[tuple[str, NDArray[np.bool_], NDArray[np.int64]]]:
    """Return, for each case, its name, the unseen train images and the held-back dev images."""
    topic = np.array([about(pairs, row) for row in range(len(pairs.image_ids))])
    train_rows, dev = pairs.image_split == "train", pairs.image_split == "dev"
    chosen = np.random.default_rng(SEED).choice(np.flatnonzero(train_rows), 2000, replace=False)
    more = np.zeros(len(topic), bool)
    more[chosen] = True
    return [
        ("a new topic", topic & train_rows, np.flatnonzero(topic & dev)),
        ("more of the same", more, np.flatnonzero(dev)),
    ]


def about(pairs: PairSet, row: int) -> bool:
    """Tell whether two captions or more of an image hold a word of the topic."""
    own = pairs.truth.indices[pairs.truth.indptr[row] : pairs.truth.indptr[row + 1]]
    words = [set(re.findall("[a-z]+", pairs.texts[text].lower())) for text in own]
    return sum(not one.isdisjoint(WORDS) for one in words) >= 2


def own_pairs(
    pairs: PairSet,
    unseen: NDArray[np.int64],
    held_back: NDArray[np.int64],
    size: int,
    captions: int,
) -> PairSet:
    """Return ``size`` unseen images as train and dev, and the held-back ones as test.

    The unseen keep so many captions, drawn at random, the held-back ones all.
    """
    rng = np.random.default_rng(SEED + size)
    rows = rng.permutation(unseen)[:size]
    split = np.concatenate(
        [np.where(np.arange(size) < 0.7 * size, "train", "dev"), np.full(len(held_back), "test")]
    )
    own = pairs.subset(np.concatenate([rows, held_back]))
    owner = own.truth.tocsc().indices  # every caption belongs to one image
    drawn = np.zeros(len(own.texts), bool)
    for image in range(len(own.image_ids)):
        texts = rng.permutation(np.flatnonzero(owner == image))
        drawn[texts[: captions if image < size else None]] = True
    kept = np.flatnonzero(drawn)
    return PairSet(
        own.source,
        own.image_ids,
        own.image_paths,
        tuple(own.texts[text] for text in kept),
        own.truth[:, kept],
        split,
        split[owner[kept]],
    )


def adapted(start: Matcher, own: PairSet, folder: str) -> dict[str, Any]:
    """Adapt, and return the comparison and how long it took."""
    trained = adapt(start, own, Path(folder, "adapted"))
    assert trained.comparison is not None
    return {"seconds": round(trained.seconds, 1), **trained.comparison}


def line(result: dict[str, Any]) -> str:
    """Return one comparison as a line."""
    before, after, gain = (result[key]["rsum"] for key in ("before", "after", "difference"))
    return (
        f"{result['part']}, {result['images_given']} images x {result['captions']}: "
        f"rsum {before['value']:.1f} -> "
        f"{after['value']:.1f}, {gain['value']:+.1f} [{gain['low']:+.1f}, {gain['high']:+.1f}], "
        f"weight {result['weight']}, {result['seconds']} s"
    )


if __name__ == "__main__":
    main()
