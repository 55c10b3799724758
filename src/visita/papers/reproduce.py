"""Running a paper's experiments on pairs of one's own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from visita.arguments import listed, whole
from visita.data import Data, PairSet, open_pairs
from visita.data.pairs import LEAST, check_enough
from visita.errors import ConfigError, UnknownNameError, did_you_mean
from visita.evaluation.measure import features_for
from visita.evaluation.pairs import best_f1_threshold
from visita.evaluation.rerank import pair_scores, ranks
from visita.matchers import GIVEN, MATCHERS, opened
from visita.papers import fusion, fusion_report, mkl_visita, mkl_visita_bench, mkl_visita_report
from visita.papers.mkl_visita import PAPER_EPOCHS, MklVisitaOutcomes
from visita.papers.mkl_visita_bench import DEV, TEST
from visita.papers.mkl_visita_claims import BOTH
from visita.report import Report, write_report
from visita.report.content import command, reader_of, shown
from visita.reports.cells import Cell, Result, run_cells
from visita.reports.overlaps import with_seen
from visita.training.config import PaperConfig
from visita.training.mkl_config import MklVisitaConfig
from visita.training.settings import Settings
from visita.types import Matcher

PAPERS = ("fusion", "mkl-visita")
LEVELS = {"efficientnet-lite2": ("block19:avg", "head:avg"), "inception-v3": ("mixed9", "fc")}
"""What stands for mixed9 and fc, by image encoder; the second encoder is the paper's own.

The paper pools mixed9 by its maximum. Blocks of EfficientNet end without an activation, and
their maxima are 16 times as long as the last pool, which they drown; so theirs is the mean.
"""
ENCODER = "efficientnet-lite2"


def reproduce(
    paper: str,
    data: Data,
    out: str | Path,
    *,
    config: PaperConfig | MklVisitaConfig | None = None,
    split: str = "dev",
    seeds: int = 5,
    small_gallery: int = 400,
    ablation_seeds: int = 1,
    paper_epochs: int = PAPER_EPOCHS,
    ablations: Sequence[str] | None = None,
    others: Sequence[Matcher | str | Path] = (),
    features: str | Path | None = None,
) -> Report:
    """Run the experiments of a paper, test its claims, and write one report into ``out``.

    ``fusion`` is the multi-level fusion paper: Tables 2 to 5 and Fig. 3, in a small gallery
    and among all pictures of ``split``. ``mkl-visita`` is MKL-VisITA: Tables 1 and 2, and what
    each of its parts adds. What is finished is kept in ``out/cells``, and a call that was killed
    is resumed from there.

    Parameters
    ----------
    config : PaperConfig, MklVisitaConfig or None
        Training and features; its first seed is the first of ``seeds``. Without it, for
        ``fusion`` the paper's values, with levels of EfficientNet-Lite2 in place of Inception
        v3's; for ``mkl-visita`` those of ``visita-base``, the second stage trained for fewer
        epochs.
    split : str
        Where to measure. If it is dev, a tenth of train chooses the epochs.
    seeds : int
        Trainings of each network.
    small_gallery : int
        Pictures of the small gallery of ``fusion``.
    ablation_seeds : int
        Trainings of each ablation of ``mkl-visita``.
    paper_epochs : int
        Of the paper's 100 those that are trained; on two cores, the default takes ten minutes
        for the 6,000 pictures of Flickr8k.
    ablations : sequence of str or None
        Names of the ablations of ``mkl-visita`` to run, and of what is trained as the paper
        says, if not all.
    others : sequence of Matcher, str or Path
        For ``mkl-visita``: matchers that have rows too, as the paper compares with
        ``clip:NAME``, ``blip:NAME`` and ``albef:FILE``.

    Raises
    ------
    UnknownNameError
        If there is no such paper or ablation, or the configuration names what does not exist.
    ConfigError
        If the settings do not suit the paper, the data or each other.
    DataError
        If a split is empty.
    TrainingError
        If nothing could be computed.

    Examples
    --------
    >>> report = visita.reproduce("fusion", "folder:mypairs", "claims", seeds=2)  # doctest: +SKIP
    """
    if paper not in PAPERS:
        raise UnknownNameError(
            f"No paper is called {paper!r}.{did_you_mean(paper, PAPERS)} "
            f"Known: {', '.join(PAPERS)}."
        )
    whole(seeds, "seeds", 1)
    whole(ablation_seeds, "ablation_seeds", 1)
    others = listed(others, GIVEN, MATCHERS)
    default = PaperConfig(image_levels=levels_of()) if paper == "fusion" else two_stages()
    config = config or default
    if type(config) is not type(default):
        raise ConfigError(
            f"{paper} is set up by a {type(default).__name__}, not by a {type(config).__name__}."
        )
    pairs = open_pairs(data, seed=config.seed)
    check_enough(pairs, {"train": LEAST, "dev": LEAST, split: LEAST}, "Reproducing")
    if isinstance(config, PaperConfig):
        bench = fusion.make_bench(pairs, split, config, small_gallery, features)
        report = _fusion(bench, Path(out), pairs, split, seeds)
    else:
        plan = mkl_visita.plan(config, seeds, ablation_seeds, paper_epochs, ablations)
        augmented = mkl_visita.augmented(plan)
        shared = mkl_visita_bench.make_bench(pairs, split, config, augmented, features)
        words = [
            *("--split", split, "--seeds", str(seeds)),
            *("--ablation-seeds", str(ablation_seeds), "--paper-epochs", str(paper_epochs)),
        ]
        matchers = [opened(place) for place in others]
        words += [word for matcher in matchers for word in ("--also", shown(matcher.name))]
        again = _command(paper, pairs, words, config)
        source = f"{reader_of(pairs)} {split}"
        report = _mkl_visita(shared, plan, matchers, Path(out), source, again)
    write_report(report, Path(out))
    return report


def _fusion(bench: fusion.FusionBench, out: Path, pairs: PairSet, split: str, seeds: int) -> Report:
    config = bench.config
    shared = {
        "features": bench.fingerprint(),
        "config": config.model_dump(mode="json"),
        "galleries": [gallery.images.tolist() for gallery in bench.galleries.values()],
    }
    cells = fusion.plan(config, seeds)
    results, failed = run_cells(out / "cells", cells, partial(fusion.compute, bench=bench), shared)
    outcomes = fusion.FusionOutcomes(results, range(config.seed, config.seed + seeds))
    [(encoder, levels)] = config.image_levels.items()
    words = [
        *("--image-encoder", encoder, "--levels", ",".join(levels)),
        *("--split", split, "--seeds", str(seeds)),
    ]
    again = _command("fusion", pairs, words, config, ("image_levels", "topic_corpus"))
    source = f"{reader_of(pairs)} {split}"
    return fusion_report.make_report(bench, outcomes, failed, source, again)


def _mkl_visita(
    bench: mkl_visita_bench.MklVisitaBench,
    plan: mkl_visita.Plan,
    matchers: Sequence[Matcher],
    out: Path,
    source: str,
    command: str,
) -> Report:
    shared = {"features": bench.fingerprint, "pairs drawn by": bench.config.seed}
    trainings = {
        cell.name: cell for system, cells in plan.items() if system != BOTH for cell in cells
    }
    trained, failed = run_cells(
        out / "cells", list(trainings.values()), partial(mkl_visita.compute, bench=bench), shared
    )
    work = partial(mkl_visita.join, bench=bench, trained=trained)
    joined, more = run_cells(out / "cells", mkl_visita.joinable(plan, trained), work, shared)
    by_name = {shown(matcher.name): matcher for matcher in matchers}
    cells = [Cell(name, {"matcher": matcher.fingerprint()}) for name, matcher in by_name.items()]
    others, missing = run_cells(
        out / "cells",
        cells,
        lambda cell: _measured(by_name[cell.name], bench),
        shared,
        all_may_fail=True,
    )
    outcomes = MklVisitaOutcomes.of_plan(bench, plan, {**trained, **joined}, others)
    failed = [*failed, *more, *missing]
    return mkl_visita_report.make_report(outcomes, failed, source, command)


def _measured(matcher: Matcher, bench: mkl_visita_bench.MklVisitaBench) -> Result:
    """Measure a matcher on the pictures of a reproduction; its threshold is chosen on theirs."""
    dev, test = (features_for(matcher, bench.pairs(part), bench.folder) for part in (DEV, TEST))
    images, texts = ranks(matcher, test)
    scores = pair_scores(matcher, test, bench.drawn[TEST])
    threshold = best_f1_threshold(
        pair_scores(matcher, dev, bench.drawn[DEV]), bench.drawn[DEV].labels
    )
    arrays = {"images": images, "texts": texts, "pairs": scores}
    return with_seen(Result({"threshold": threshold}, arrays), matcher, test.pairs)


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


def two_stages(settings: Sequence[str] = ()) -> MklVisitaConfig:
    """Return what ``mkl-visita`` trains, changed by ``key=value`` settings.

    Raises
    ------
    ConfigError
        If a key is unknown or a value does not fit.
    """
    epochs = json.dumps({"epochs": mkl_visita.EPOCHS})
    return MklVisitaConfig.read(None, [f"second={epochs}", *settings])


def _command(
    paper: str, pairs: PairSet, options: Sequence[str], config: Settings, said: Sequence[str] = ()
) -> str:
    """Return what runs it again; ``said`` are settings that options say or that are secret."""
    changed = config.model_dump(mode="json", exclude_defaults=True)
    settings = [(key, value) for key, value in changed.items() if key not in said]
    words = [word for key, value in settings for word in ("--set", f"{key}={json.dumps(value)}")]
    return command(["reproduce", paper], pairs, [*options, *words])
