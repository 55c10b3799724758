"""The report of a reproduction of MKL-VisITA."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from visita.evaluation.intervals import Estimate
from visita.evaluation.measure import caveats_on_seen
from visita.evaluation.ranks import mean_ranks
from visita.matchers.rerank import DEPTH
from visita.papers.mkl_visita import MklVisitaOutcomes
from visita.papers.mkl_visita_bench import DEV, TEST, TRAIN
from visita.papers.mkl_visita_claims import (
    BOTH,
    FIRST,
    MAIN,
    PAPER,
    PAPER_RNN,
    REFERENCE,
    SECOND,
    TABLED,
    claims,
)
from visita.report import Bars, Column, Curves, Examples, Report, Row, Table, versions
from visita.report.claims import Verdict, tally
from visita.reports.cells import cell_warnings
from visita.reports.outcomes import (
    PAIR_COLUMNS,
    PAIR_METRICS,
    RETRIEVAL_COLUMNS,
    RETRIEVAL_METRICS,
    Answers,
    best_and_worst,
    count_of,
)
from visita.reports.overlaps import first_runs, sentences, unseen_table
from visita.training.grids import VALIDATED
from visita.types import Skipped

POINTS = tuple(range(1, 11))
COMPARED = ("rsum", "recall", "precision", "mAP")
"""What the table of ablations shows."""
HOW_TESTED = (
    "Differences are in points of rsum, the sum of R@1, R@5 and R@10 both ways, seeds averaged "
    "first and the same seeds on both sides; intervals and p-values come from a paired bootstrap "
    "over images with their texts, the gallery whole. A verdict needs p < 0.05 after Holm’s "
    "correction over all claims, which asks more than an interval without zero. The paper’s "
    "numbers are recall / precision / mAP in percent, on other pictures and by a protocol that "
    "it does not give, so nothing here can confirm or refute them."
)
PAIR_NOTE = (
    "Each picture meets its own texts and as many that are not its own; the threshold is the one "
    "with the best F1 on pictures that are not measured; mAP is the mean over the two classes. "
    "That is visita’s reading of the paper, which names neither negatives nor threshold. Its own "
    "numbers, of other pictures, recall / precision / mAP: {paper}."
)
BY_NAME = " What is called by the name of a matcher came trained, on other data."
WHAT_CHANGED = (
    "All are the second stage alone, epochs {epochs} where it has {whole} above, on the same seeds "
    "({seeds}); each changes one thing. Without cross-modal attention only the whole picture is "
    "compared with the sentence; without hierarchy only words ask. In percent, rsum in points, "
    "with 95 % intervals; the differences are paired, to nothing changed."
)


def make_report(
    outcomes: MklVisitaOutcomes, failed: Sequence[Skipped], source: str, command: str
) -> Report:
    """Return the report; ``source`` names the pairs and ``command`` runs it again."""
    queries, kernels = count_of(outcomes.bench.pairs(TEST)), outcomes.bench.config.second.kernels
    verdicts = outcomes.decide(claims(queries, kernels, outcomes.others), queries)
    numbers = {system: outcomes.estimates(system) for system in outcomes.runs}
    return Report(
        title=f"MKL-VisITA, reproduced on {source}",
        lead=tuple(_lead(outcomes, verdicts, numbers)),
        warnings=(
            *caveats_on_seen("What is trained here", outcomes.bench.seen.to_dict()),
            *sentences(first_runs(outcomes, outcomes.others)),
            *cell_warnings(outcomes.results),
        ),
        verdicts=tuple(verdicts),
        verdicts_note=HOW_TESTED,
        parts=tuple(_parts(outcomes, numbers)),
        examples=tuple(_examples(outcomes)),
        failed=tuple(failed),
        setting=_setting(outcomes, source),
        command=command,
    )


Numbers = Mapping[str, Mapping[str, Estimate]]
"""Every metric of each system that was measured."""


def _lead(
    outcomes: MklVisitaOutcomes, verdicts: Sequence[Verdict], numbers: Numbers
) -> Iterator[str]:
    pairs = outcomes.bench.pairs(TEST)
    yield (
        f"{len(verdicts)} claims about MKL-VisITA (Advanced Multimodal Deep Learning Architecture "
        f"for Image-Text Matching, 2024), tested on {len(pairs.texts):,} texts and "
        f"{len(pairs.image_ids):,} pictures: {tally(verdicts)}."
    )
    reached = ", ".join(
        f"{system} {numbers[system]['rsum'].value:.1f}" for system in MAIN if system in numbers
    )
    if reached:
        yield f"rsum: {reached}."
    if BOTH in numbers:
        matching = {name: numbers[BOTH][name].value for name in PAIR_METRICS}
        yield (
            f"Told whether a text belongs to a picture, both stages find "
            f"{matching['recall']:.1f} % of the true pairs, and {matching['precision']:.1f} % "
            f"of what they call one is true; mAP {matching['mAP']:.1f} %."
        )


def _parts(outcomes: MklVisitaOutcomes, numbers: Numbers) -> Iterator[Table | Curves | Bars]:
    tabled = [*(system for system in TABLED if system in outcomes.plan), *outcomes.others]
    yield _pair_table(tabled, numbers)
    yield _retrieval_table(outcomes, tabled, numbers)
    yield from unseen_table(outcomes, tabled)
    lines = {system: outcomes.recalls(system, POINTS) for system in MAIN if system in numbers}
    if lines:
        note = "Text to image, among all pictures. The bands are 95 % intervals."
        yield Curves("Recall of a text’s picture", note, "K", "recall at K, %", lines)
    changed = [system for system in outcomes.plan if system not in TABLED and system in numbers]
    if REFERENCE in changed:
        yield _ablation_table(outcomes, numbers, changed)
        title, note = "Ablations as bars", "The whiskers are 95 % intervals."
        yield Bars(title, note, "rsum", {system: numbers[system]["rsum"] for system in changed})
    if SECOND in numbers:
        yield _kernel_table(outcomes)


def _pair_table(systems: Sequence[str], numbers: Numbers) -> Table:
    paper = "; ".join(
        f"{data} {', '.join(f'{name} {value}' for name, value in values.items())}"
        for data, values in PAPER.items()
    )
    rows = tuple(_row(system, numbers, PAIR_METRICS) for system in systems)
    note = PAIR_NOTE.format(paper=paper)
    return Table("Tables 1 and 2: does this text belong to this picture?", note, PAIR_COLUMNS, rows)


def _retrieval_table(
    outcomes: MklVisitaOutcomes, systems: Sequence[str], numbers: Numbers
) -> Table:
    rows = tuple(_row(system, numbers, RETRIEVAL_METRICS) for system in systems)
    note = (
        "Recall at K in percent, with 95 % intervals, and their sum; the best of a column is "
        f"bold. Both stages: the second orders the first {DEPTH} of the first, its weight chosen "
        f"on pictures that are not measured ({_weights(outcomes)}). {_as_printed(outcomes)}"
        f"{BY_NAME if outcomes.others else ''}"
    )
    return Table("Retrieval", note, RETRIEVAL_COLUMNS, rows)


def _as_printed(outcomes: MklVisitaOutcomes) -> str:
    if PAPER_RNN not in outcomes.plan:
        return ""
    config = outcomes.plan[PAPER_RNN][0].settings["config"]
    return (
        "The paper’s training is that of the second stage’s network alone, by SGD on the squared "
        f"error, words learnt from the training texts; {config['epochs']} of its 100 epochs, "
        f"{config['texts_per_image']} texts a picture."
    )


def _weights(outcomes: MklVisitaOutcomes) -> str:
    if not outcomes.measured([BOTH]):
        return "none"
    return ", ".join(f"{run.facts['weight']:g}" for run in outcomes.of(BOTH))


def _row(system: str, numbers: Numbers, metrics: Sequence[str]) -> Row:
    estimates = numbers.get(system)
    return Row(system, tuple(estimates[metric] if estimates else None for metric in metrics))


def _ablation_table(outcomes: MklVisitaOutcomes, numbers: Numbers, systems: Sequence[str]) -> Table:
    columns = tuple(
        Column(group, name) for group in ("", "against nothing changed") for name in COMPARED
    )
    rows = []
    for system in systems:
        change = outcomes.differences(system, REFERENCE) if system != REFERENCE else None
        changes = tuple(change[name] if change else None for name in COMPARED)
        rows.append(Row(system, (*_row(system, numbers, COMPARED).cells, *changes)))
    configs = {
        system: outcomes.plan[system][0].settings["config"] for system in (REFERENCE, SECOND)
    }
    note = WHAT_CHANGED.format(
        epochs=configs[REFERENCE]["epochs"],
        whole=configs[SECOND]["epochs"],
        seeds=_seeds(outcomes, REFERENCE),
    )
    return Table("Ablations of the second stage", note, columns, tuple(rows))


def _kernel_table(outcomes: MklVisitaOutcomes) -> Table:
    config = outcomes.bench.config.second
    weights = 100 * np.stack([run.facts["kernels"] for run in outcomes.of(SECOND)])
    means, low, high = weights.mean(axis=0), weights.min(axis=0), weights.max(axis=0)
    rows = tuple(
        Row(level, tuple(map(Estimate, means[row], low[row], high[row])))
        for row, level in enumerate(config.levels)
    )
    columns = tuple(Column("kernel", name) for name in config.kernels)
    note = (
        "β of the second stage, in percent of their sum: mean over seeds, and the range of the "
        "seeds in brackets. Each kernel is bold at the level where it weighs most."
    )
    return Table("Kernel weights", note, columns, rows)


def _examples(outcomes: MklVisitaOutcomes) -> Iterator[Examples]:
    if len(outcomes.measured([FIRST, BOTH])) < 2:
        return
    ranks = {
        system: np.mean([mean_ranks(run.arrays["texts"]) for run in outcomes.of(system)], axis=0)
        for system in (FIRST, BOTH)
    }
    yield from best_and_worst(
        Answers(
            pairs=outcomes.bench.pairs(TEST),
            groups=outcomes.groups.texts,
            system="Both stages",
            baseline="the first stage alone",
            ranks=ranks[BOTH],
            before=ranks[FIRST],
            found=outcomes.of(BOTH)[0].arrays["found"],
        )
    )


def _seeds(outcomes: MklVisitaOutcomes, system: str) -> str:
    stages = (cell.settings.get(FIRST, cell.settings) for cell in outcomes.plan[system])
    return ", ".join(str(stage["config"]["seed"]) for stage in stages)


def _setting(outcomes: MklVisitaOutcomes, source: str) -> dict[str, str]:
    bench = outcomes.bench
    first, second = bench.config.stages()
    sizes = {part: bench.pairs(part).truth.shape for part in (TRAIN, DEV, TEST)}
    chosen = min(VALIDATED, sizes[DEV][0])
    return {
        "pairs": source,
        "fingerprint of pairs and features": bench.fingerprint,
        "learnt from": f"{sizes[TRAIN][0]:,} pictures, {sizes[TRAIN][1]:,} texts",
        "chosen on": f"{sizes[DEV][0]:,} other pictures, {sizes[DEV][1]:,} texts: threshold, "
        f"weight and epoch (of the second stage on {chosen:,} of them)",
        "measured on": f"{sizes[TEST][0]:,} pictures, {sizes[TEST][1]:,} texts",
        FIRST: f"fusion of the levels of {', '.join(first.image_levels)}, "
        f"{first.epochs} epochs at most",
        SECOND: f"grids {_listed(second.image_levels)}, {second.text_encoder}, levels "
        f"{', '.join(second.levels)}, kernels {', '.join(second.kernels)}, depth {second.depth}, "
        f"{second.epochs} epochs at most, patience {second.patience}",
        "seeds": f"{_seeds(outcomes, SECOND)}; of ablations {_seeds(outcomes, REFERENCE)}",
        "training, a seed": "; ".join(_cost(outcomes)),
        "longest training": _longest(outcomes),
        "versions": versions("torch", "numpy"),
    }


def _cost(outcomes: MklVisitaOutcomes) -> Iterator[str]:
    for system in outcomes.measured([system for system in TABLED if system != BOTH]):
        facts: list[Mapping[str, Any]] = [run.facts for run in outcomes.of(system)]
        seconds = np.mean([run["seconds"] for run in facts])
        yield f"{system} {seconds:,.0f} s, {facts[0]['parameters']:,} parameters"


def _longest(outcomes: MklVisitaOutcomes) -> str:
    seconds = {name: result.facts.get("seconds", 0.0) for name, result in outcomes.results.items()}
    name = max(seconds, key=lambda name: seconds[name])
    return f"{name}, {seconds[name]:,.0f} s"


def _listed(levels: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{encoder} {', '.join(names)}" for encoder, names in levels.items())
