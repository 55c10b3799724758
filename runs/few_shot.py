"""How good visita's own recipe gets from n images of one's own, all their captions with them.

python runs/few_shot.py --data flickr8k:PATH --work DIR [--out docs/results/few-shot]
    [--sizes 100 300 …] [--seeds 5] [--set KEY=VALUE]…

The n images are drawn from split train; nine tenths of them teach and one tenth chooses the
epoch, so dev, on which all is measured, has no part in it. A seed draws and trains; its smaller
draws lie within its larger ones. Killed, the same command goes on where it was. Writes OUT.json
and OUT.md, and a page with the curves to DIR/report.html.
"""

import argparse
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shlex import quote

import numpy as np

from visita.data import PairSet, open_pairs, split_by_component
from visita.errors import DataError
from visita.evaluation import Retrieval, measure_ranks, retrieval
from visita.evaluation.intervals import components
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.retrieval import CUTOFFS
from visita.report import Column, Curves, Report, Row, Table, write_report
from visita.reports.cells import Cell, Result, run_cells
from visita.reports.outcomes import WAYS
from visita.training.config import FusionConfig
from visita.training.train import train

SIZES = (100, 300, 1000, 3000, 6000)
TEACHING = (0.9, 0.1, 0.0)


def main() -> None:
    """Train every size with every seed, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results/few-shot"))
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if len(options.sizes) < 2:
        parser.error("a curve needs two sizes or more")
    pairs = open_pairs(options.data)
    cells = [
        Cell(named(size, seed), {"size": size, "seed": seed, "set": options.set})
        for size in options.sizes
        for seed in range(options.seeds)
    ]
    shared = {"pairs": pairs.fingerprint(), "teaching": TEACHING}
    results, failed = run_cells(
        options.work / "cells", cells, partial(learnt_from_few, pairs=pairs), shared
    )
    if failed:
        raise SystemExit("Some trainings failed, see above; the same command tries them again.")
    found = {size: over_seeds(pairs, size, results, options.seeds) for size in options.sizes}
    report = make_report(pairs, found, options.seeds, options.set)
    write_report(report, options.work)
    for suffix in (".json", ".md"):
        shutil.copyfile(options.work / f"report{suffix}", options.out.with_suffix(suffix))
    print(*report.lead, sep="\n")


def named(size: int, seed: int) -> str:
    """Return what a cell is called."""
    return f"{size} images, seed {seed}"


def few(pairs: PairSet, size: int, seed: int) -> PairSet:
    """Return so many training images, drawn, with all their texts, as train and dev.

    Raises
    ------
    DataError
        If there are not so many.
    """
    rows = np.flatnonzero(pairs.image_split == "train")
    if size > len(rows):
        raise DataError(f"{pairs.source} has {len(rows)} training images; give smaller --sizes.")
    drawn = np.random.default_rng(seed).permutation(rows)[:size]
    given = pairs.subset(np.sort(drawn))
    images, texts = split_by_component(given.truth, TEACHING, seed)
    return replace(given, image_split=images, text_split=texts)


def learnt_from_few(cell: Cell, pairs: PairSet) -> Result:
    """Train on a few images and rank dev; the arrays are the ranks of images and of texts."""
    seed = cell.settings["seed"]
    config = FusionConfig.read(None, [*cell.settings["set"], f"seed={seed}"])
    with tempfile.TemporaryDirectory() as folder:
        own = few(pairs, cell.settings["size"], seed)
        matcher = train(own, Path(folder, "matcher"), config=config).matcher
        dev = features_for(matcher, pairs.take("dev"), None)
        found = retrieval(*vectors(matcher, dev), dev.pairs.truth.tocsr(), seed=0)
    return Result({}, {"images": found.image_ranks, "texts": found.text_ranks})


def over_seeds(pairs: PairSet, size: int, results: Mapping[str, Result], seeds: int) -> Retrieval:
    """Return the mean over seeds of one size."""
    some = [results[named(size, seed)].arrays for seed in range(seeds)]
    ranks = (np.concatenate([one[side] for one in some]) for side in ("images", "texts"))
    return measure_ranks(*ranks, components(pairs.take("dev").truth), seed=0)


def make_report(
    pairs: PairSet, results: Mapping[int, Retrieval], seeds: int, settings: Sequence[str]
) -> Report:
    """Return the report on the results of each size."""
    reader, dev = pairs.source.partition(":")[0], pairs.take("dev")
    (first, least), *_, (last, most) = results.items()
    sizes = " ".join(map(str, results))
    changed = "".join(f" --set {quote(one)}" for one in settings)
    table = Table(
        "Recall by the number of images",
        f"In percent on dev, the hits of each query averaged over {seeds} seeds first, with 95 % "
        "intervals over images. The best of a column is bold.",
        tuple(Column(way, f"R@{k}") for way in WAYS.values() for k in CUTOFFS),
        tuple(
            Row(
                f"{size:,} images",
                tuple(one.metrics[way][f"R@{k}"] for way in WAYS for k in CUTOFFS),
            )
            for size, one in results.items()
        ),
    )
    curve = Curves(
        "The sum of the six recalls",
        "The band is the 95 % interval over images.",
        "images",
        "rsum",
        {"rsum": [one.rsum for one in results.values()]},
        tuple(f"{size:,}" for size in results),
    )
    return Report(
        title=f"Learning from few images of {reader}",
        lead=(
            f"From {first:,} images with all their captions visita's own recipe reaches rsum "
            f"{least.rsum.value:.1f} on dev, from {last:,} images {most.rsum.value:.1f}; means "
            f"over {seeds} seeds.",
        ),
        setting={
            "measured on": f"dev, {len(dev.image_ids):,} images, {len(dev.texts):,} texts",
            "images": "drawn from train; nine tenths teach, one tenth chooses the epoch",
            "pairs": f"{reader}, fingerprint {pairs.fingerprint()}",
            "changed settings": " ".join(settings) or "none",
        },
        command=f"python runs/few_shot.py --data {reader}:PATH --work DIR --seeds {seeds} "
        f"--sizes {sizes}{changed}",
        parts=(table, curve),
    )


if __name__ == "__main__":
    main()
