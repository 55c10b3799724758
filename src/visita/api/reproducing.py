"""Running a paper's experiments on pairs of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from shlex import join

from visita.data import PairSet, open_pairs
from visita.errors import ConfigError, UnknownNameError, did_you_mean
from visita.experiments.cells import run_cells
from visita.experiments.fusion import Outcomes, compute, plan
from visita.experiments.fusion_bench import Bench, make_bench
from visita.experiments.fusion_report import make_report
from visita.experiments.report import Report, write_report
from visita.training.config import PaperConfig

PAPERS = ("fusion",)
LEVELS = {
    "efficientnet-lite2": ("block19:avg", "head:avg"),
    "inception-v3": ("mixed9", "fc"),
}
"""What stands for mixed9 and fc, by image encoder; the second encoder is the paper's own.

The paper pools mixed9 by its maximum. Blocks of EfficientNet end without an activation, and
their maxima are 16 times as long as the last pool, which they drown; so theirs is the mean.
"""
ENCODER = "efficientnet-lite2"


def reproduce(
    paper: str,
    data: PairSet | str,
    out: str | Path,
    *,
    config: PaperConfig | None = None,
    split: str = "dev",
    seeds: int = 5,
    small_gallery: int = 400,
    features: Path | None = None,
) -> Report:
    """Run the experiments of a paper, test its claims, and write one report into ``out``.

    ``fusion`` is the multi-level fusion paper: Tables 2 to 5 and Fig. 3, in a small gallery
    and among all pictures of ``split``. What is finished is kept in ``out/cells``, and a
    call that was killed goes on from there.

    Parameters
    ----------
    config : PaperConfig or None
        Training and features; its first seed is the first of ``seeds``. Without it the
        paper's values, with levels of EfficientNet-Lite2 in place of Inception v3's.
    split : str
        Where to measure. If it is dev, a tenth of train chooses the epochs.

    Raises
    ------
    UnknownNameError
        If there is no such paper, or the configuration names what does not exist.
    ConfigError
        If the settings do not suit the data or each other.
    DataError
        If a split is empty.
    TrainingError
        If nothing could be computed.
    """
    if paper not in PAPERS:
        raise UnknownNameError(
            f"No paper is called {paper!r}.{did_you_mean(paper, PAPERS)} "
            f"Known: {', '.join(PAPERS)}."
        )
    if seeds < 1:
        raise ConfigError("Give one seed or more.")
    config = config or PaperConfig(image_levels=levels_of())
    pairs = data if isinstance(data, PairSet) else open_pairs(data, seed=config.seed)
    bench = make_bench(pairs, split, config, small_gallery, features)
    shared = {
        "features": bench.fingerprint(),
        "config": bench.config.model_dump(mode="json"),
        "galleries": [gallery.images.tolist() for gallery in bench.galleries.values()],
    }
    cells = plan(bench.config, seeds)
    results, failed = run_cells(Path(out, "cells"), cells, partial(compute, bench=bench), shared)
    outcomes = Outcomes(results, range(config.seed, config.seed + seeds))
    reader = pairs.source.partition(":")[0]
    command = _command(paper, reader, bench, split, seeds)
    report = make_report(bench, outcomes, failed, f"{reader} {split}", command)
    write_report(report, Path(out))
    return report


def levels_of(
    encoder: str = ENCODER, levels: Sequence[str] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the image levels of a reproduction, the last one standing for fc.

    Raises
    ------
    ConfigError
        If no levels are given for an encoder that has none of its own.
    """
    if not levels and encoder not in LEVELS:
        raise ConfigError(
            f"Name the levels of {encoder}, the last pool last, as in "
            f"{','.join(LEVELS[ENCODER])}; only {' and '.join(LEVELS)} have levels of their own."
        )
    return {encoder: tuple(levels or LEVELS[encoder])}


def _command(paper: str, reader: str, bench: Bench, split: str, seeds: int) -> str:
    [(encoder, levels)] = bench.config.image_levels.items()
    changed = bench.config.model_dump(mode="json", exclude_defaults=True)
    words = [
        *("visita", "reproduce", paper, "--data", f"{reader}:PATH", "--out", "DIR"),
        *("--image-encoder", encoder, "--levels", ",".join(levels)),
        *("--split", split, "--seeds", str(seeds)),
    ]
    for key, value in changed.items():
        if key not in ("image_levels", "topic_corpus"):
            words += ["--set", f"{key}={json.dumps(value)}"]
    return join(words)
