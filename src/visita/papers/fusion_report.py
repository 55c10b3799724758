"""The report of a reproduction of the multi-level fusion paper."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from visita.evaluation.intervals import Estimate, Statistic, estimates, mean_statistic
from visita.evaluation.measure import caveats_on_seen
from visita.evaluation.ranks import mean_ranks
from visita.evaluation.retrieval import CUTOFFS
from visita.papers.fusion import SMALL, WHOLE, FusionBench, FusionOutcomes, TestGallery
from visita.papers.fusion_claims import (
    DIRECT_FUSED,
    MATCHED,
    RECOMMEND_FC,
    RECOMMENDED,
    VARIANTS,
    claims,
)
from visita.report import Bars, Column, Curves, Examples, Report, Row, Table, versions
from visita.report.claims import Measured, Verdict, decide, tally
from visita.reports.cells import cell_warnings
from visita.reports.outcomes import Answers, best_and_worst
from visita.types import Skipped


def examples(bench: FusionBench, outcomes: FusionOutcomes) -> Iterator[Examples]:
    """Yield the best and the worst answers of direct matching, if it was measured."""
    try:
        answers = Answers(
            pairs=bench.pairs.take("test"),
            groups=bench.galleries[WHOLE].groups,
            system="Direct matching with fused features",
            baseline="recommendation with fc",
            ranks=mean_ranks(np.stack(outcomes.arrays(DIRECT_FUSED, WHOLE))).mean(axis=0),
            before=mean_ranks(outcomes.arrays(RECOMMEND_FC, WHOLE)[0]),
            found=outcomes.arrays(DIRECT_FUSED, "found")[0],
        )
    except KeyError:
        return
    yield from best_and_worst(answers)


POINTS = tuple(range(1, 11))
AVERAGED = (
    ", averaged over the picture where the paper takes the maximum: the maxima of a block "
    "without an activation are many times as long as fc, which they drown"
)
HOW_TESTED = (
    "Differences are in points of recall, the hits of each query averaged over seeds first; "
    "intervals and p-values come from a paired bootstrap over images with their texts, the gallery "
    "whole. A verdict needs p < 0.05 after Holm’s correction over all claims, which asks more than "
    "an interval without zero. A claim about every K, or about the best of several, needs all its "
    "differences; one about most K needs two of three."
)


def make_report(
    bench: FusionBench,
    outcomes: FusionOutcomes,
    failed: Sequence[Skipped],
    source: str,
    command: str,
) -> Report:
    """Return the report; ``source`` names the pairs and ``command`` runs it again."""
    seed = bench.config.seed
    measured = {
        gallery.name: Measured(
            int(gallery.groups.max()) + 1, partial(_statistic, outcomes, key, gallery)
        )
        for key, gallery in bench.galleries.items()
    }
    small, whole = bench.galleries.get(SMALL), bench.galleries[WHOLE]
    verdicts = decide(claims(small.name if small else SMALL, whole.name), measured, seed=seed)
    recalls = {
        (key, system): points
        for key, gallery in bench.galleries.items()
        for system in (*RECOMMENDED, *MATCHED, *VARIANTS)
        if (points := _recalls(outcomes, system, key, gallery, seed))
    }
    return Report(
        title=f"Multi-level image feature fusion, reproduced on {source}",
        lead=tuple(_lead(bench, verdicts, recalls)),
        warnings=tuple(_warnings(bench, outcomes)),
        verdicts=tuple(verdicts),
        verdicts_note=HOW_TESTED,
        parts=tuple(_parts(bench, recalls)),
        examples=tuple(examples(bench, outcomes)),
        failed=tuple(failed),
        setting=_setting(bench, outcomes, source),
        command=command,
    )


def _statistic(
    outcomes: FusionOutcomes, key: str, gallery: TestGallery, system: str, metric: str
) -> Statistic:
    hits = outcomes.hits(system, key, int(metric.removeprefix("R@")))
    return mean_statistic(hits, gallery.groups)


def _recalls(
    outcomes: FusionOutcomes, system: str, key: str, gallery: TestGallery, seed: int
) -> list[Estimate]:
    """Return R@1 to R@10 in percent, or nothing where the system was not measured."""
    try:
        hits = np.stack([outcomes.hits(system, key, k) for k in POINTS], axis=1)
    except KeyError:
        return []
    groups = int(gallery.groups.max()) + 1
    return estimates(mean_statistic(hits, gallery.groups), groups, seed=seed)


Recalls = Mapping[tuple[str, str], Sequence[Estimate]]
"""R@1 to R@10 of each gallery and system that was measured."""


def _lead(bench: FusionBench, verdicts: Sequence[Verdict], recalls: Recalls) -> Iterator[str]:
    yield (
        f"{len(verdicts)} claims of Hao et al., Multi-level Image Feature Fusion Algorithm for "
        f"Image-Text Matching Tasks (2019), tested on {bench.test.truth.shape[1]:,} texts and "
        f"{bench.test.truth.shape[0]:,} pictures: {tally(verdicts)}."
    )
    direct, fc = (recalls.get((WHOLE, system)) for system in (DIRECT_FUSED, RECOMMEND_FC))
    if direct and fc:
        yield (
            f"Among all pictures, direct matching with fused features has the right one within "
            f"the first ten for {direct[9].value:.1f} % of the texts; recommendation with "
            f"features of the last level, for {fc[9].value:.1f} %."
        )


def _warnings(bench: FusionBench, outcomes: FusionOutcomes) -> Iterator[str]:
    if bench.config.topics_from == "all":
        yield (
            "The topics were fitted on all texts, those that are measured included, as the paper "
            "does on Flickr30K: the numbers are too optimistic."
        )
    yield from caveats_on_seen("What is trained here", bench.seen.to_dict())
    if SMALL not in bench.galleries:
        yield "There are too few pictures for a small gallery, so its claims are not measured."
    yield from cell_warnings(outcomes.results)


def _parts(bench: FusionBench, recalls: Recalls) -> Iterator[Table | Curves | Bars]:
    yield _table("Tables 2 and 4: recommendation", RECOMMENDED, bench, recalls)
    yield _table("Tables 3 and 5: direct matching", MATCHED, bench, recalls)
    for key, gallery in bench.galleries.items():
        lines = {s: recalls[key, s] for s in (*RECOMMENDED, *MATCHED) if (key, s) in recalls}
        note = f"{len(gallery.texts):,} texts. The bands are 95 % intervals."
        if lines:
            yield Curves(f"Recall among {gallery.name}", note, "K", "recall at K, %", lines)
    yield _table("Fig. 3: the hidden layer, seen by recommendation", VARIANTS, bench, recalls)
    bars = {
        variant: recalls[WHOLE, variant][9] for variant in VARIANTS if (WHOLE, variant) in recalls
    }
    if bars:
        note = "Fused features of all levels. The whiskers are 95 % intervals."
        title = f"Fig. 3 as bars: recommendation among {bench.galleries[WHOLE].name}"
        yield Bars(title, note, "R@10, %", bars)


def _table(title: str, systems: Sequence[str], bench: FusionBench, recalls: Recalls) -> Table:
    galleries = bench.galleries.values()
    columns = tuple(Column(gallery.name, f"R@{k}") for gallery in galleries for k in CUTOFFS)
    rows = []
    for system in systems:
        per_gallery = [recalls.get((key, system)) for key in bench.galleries]
        cells = tuple(points[k - 1] if points else None for points in per_gallery for k in CUTOFFS)
        rows.append(Row(system, cells))
    asked = ", ".join(f"{len(g.texts):,} texts in {g.name}" for g in galleries)
    note = f"Recall at K in percent, with 95 % intervals; the best of a column is bold. {asked}."
    return Table(title, note, columns, tuple(rows))


def _setting(bench: FusionBench, outcomes: FusionOutcomes, source: str) -> dict[str, str]:
    config = bench.config
    [(encoder, levels)] = config.image_levels.items()
    sizes = {part: getattr(bench, part).truth.shape for part in ("train", "dev", "test")}
    epochs = [int(np.argmax(r.facts["dev"])) for r in outcomes.results.values() if r.facts]
    topics = "a corpus" if config.topic_corpus else f"{config.topics_from} texts"
    seeds = ", ".join(map(str, outcomes.seeds))
    return {
        "pairs": f"{source}, fingerprint {bench.pairs.fingerprint()}",
        "learnt from": f"{sizes['train'][0]:,} pictures, {sizes['train'][1]:,} texts",
        "epoch chosen on": f"{sizes['dev'][0]:,} other pictures, {sizes['dev'][1]:,} texts",
        "measured on": f"{sizes['test'][0]:,} pictures, {sizes['test'][1]:,} texts",
        "image encoder": f"{encoder} (the paper's is inception-v3)",
        "fc": f"{levels[-1]}, {bench.last:,} numbers",
        "mixed9": f"{' and '.join(levels[:-1])}, {bench.train.images.shape[2] - bench.last:,} "
        f"numbers{AVERAGED if any(level.endswith(':avg') for level in levels[:-1]) else ''}",
        "text encoder": f"{bench.text.name}, {bench.text.dim} numbers, fitted on {topics}",
        "network": f"{config.hidden:,} {config.hidden_activation}, {bench.text.dim} "
        f"{config.output_activation}; L2 {config.l2:g}, margin {config.margin:g}",
        "training": f"Adam {config.learning_rate:g}, {config.batch} pictures a step, at most "
        f"{config.epochs} epochs, patience {config.patience}",
        "seeds": f"{seeds}; recommendation with fc or fc + mixed9 has nothing to draw",
        "epochs kept": f"{min(epochs)} to {max(epochs)}, {np.mean(epochs):.1f} on average"
        if epochs
        else "none",
        "versions": versions("torch", "numpy"),
    }
