"""The report of a comparison."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from visita.data.pairs import PairSet
from visita.encoders.engine import cores
from visita.evaluation.intervals import Estimate, components
from visita.evaluation.pairs import LabelledPairs
from visita.evaluation.retrieval import CUTOFFS
from visita.report import Column, Report, Row, Scatter, Sheet, Table, versions
from visita.report.claims import Claim, Comparison, Verdict
from visita.reports.cells import Result
from visita.reports.costs import GALLERY, PICTURES, TEXTS
from visita.reports.outcomes import (
    PAIR_COLUMNS,
    PAIR_METRICS,
    RETRIEVAL_COLUMNS,
    RETRIEVAL_METRICS,
    Outcomes,
    count_of,
)
from visita.reports.overlaps import first_runs, sentences, unseen_table
from visita.reports.systems import System
from visita.types import Skipped

AGAINST = (
    "Differences in rsum, the sum of R@1, R@5 and R@10 both ways, seeds averaged first; intervals "
    "and p-values come from a paired bootstrap over images with their texts, the gallery whole. A "
    "verdict needs p < 0.05 after Holm’s correction over all comparisons. The best is chosen by "
    "the same numbers."
)
PAIR_NOTE = (
    "Each picture meets its own texts and as many that are not its own; a matcher’s threshold is "
    "its own, or that of the best F1 on the split dev; mAP is the mean over the two classes."
)
COST_NOTE = (
    "In use, on {cores} cores of this machine, each in a process of its own: up to "
    f"{PICTURES} pictures read, from files to vectors; the median of up to {TEXTS} texts, each "
    f"read, compared with {GALLERY:,} vectors and, where a matcher has two stages, with the first "
    "of them again; what is compared, of a picture; the peak of memory; the parameters of encoders "
    "and matcher together; seconds of training, features not counted, where it was trained here."
)
FRONT_NOTE = (
    "Dark ones are in the Pareto set: nothing is as good for less, or better for as much. The "
    "whiskers are 95 % intervals."
)
SHOWN: Mapping[str, Callable[[float], str]] = {
    "pictures_per_second": lambda rate: f"{rate:,.3g}",
    "query_ms": lambda milliseconds: f"{milliseconds:,.3g}",
    "bytes_per_picture": lambda size: f"{size:,.0f}",
    "peak_mb": lambda megabytes: f"{megabytes:,.0f}",
    "parameters": lambda count: f"{count / 1e6:,.1f}",
}
HEADINGS = (
    *("pictures/s", "ms a query", "bytes a picture", "peak MB", "million parameters"),
    "training s",
)
UNKNOWN = "–"


def make_report(
    outcomes: ComparisonOutcomes,
    failed: Sequence[Skipped],
    warnings: Sequence[str],
    source: str,
    setting: Mapping[str, str],
    command: str,
) -> Report:
    """Return the report; ``source`` names the split and ``command`` runs it again."""
    verdicts = _verdicts(outcomes)
    return Report(
        title=f"Matchers compared on {source}",
        lead=tuple(_lead(outcomes, verdicts)),
        warnings=(*sentences(first_runs(outcomes, outcomes.numbers)), *warnings),
        verdicts=tuple(verdicts),
        verdicts_title="Against the best",
        verdicts_note=AGAINST,
        parts=tuple(_parts(outcomes)),
        failed=tuple(failed),
        setting={**setting, **_setting(outcomes)},
        command=command,
    )


def _verdicts(outcomes: ComparisonOutcomes) -> list[Verdict]:
    best, *others = outcomes.numbers or [""]
    queries = count_of(outcomes.pairs)
    claims = [
        Claim(other, f"{best} is better than {other}", queries, (Comparison(best, other, "rsum"),))
        for other in others
    ]
    return outcomes.decide(claims, queries)


def _lead(outcomes: ComparisonOutcomes, verdicts: Sequence[Verdict]) -> Iterator[str]:
    if not outcomes.numbers:
        yield "Nothing could be measured."
        return
    best = next(iter(outcomes.numbers))
    rsum = outcomes.numbers[best]["rsum"]
    yield (
        f"{len(outcomes.numbers)} systems on {count_of(outcomes.pairs)}. Best in rsum: {best}, "
        f"{rsum.value:.1f} [{rsum.low:.1f}, {rsum.high:.1f}]."
    )
    sure = sum(verdict.outcome == "holds" for verdict in verdicts)
    if verdicts:
        yield f"It is better than {sure} of the {len(verdicts)} others beyond doubt (p < 0.05)."
    for scatter in _scatters(outcomes):
        yield f"{scatter.title}, Pareto set: {', '.join(scatter.front())}."


def _parts(outcomes: ComparisonOutcomes) -> Iterator[Table | Sheet | Scatter]:
    if not outcomes.numbers:
        return
    yield _retrieval(outcomes)
    yield from unseen_table(outcomes, list(outcomes.numbers))
    yield _pairs(outcomes)
    if len(outcomes.languages()) > 1:
        yield _by_language(outcomes)
    if outcomes.costs:
        yield _costs(outcomes)
    yield from _scatters(outcomes)


def _retrieval(outcomes: ComparisonOutcomes) -> Table:
    note = (
        "Recall at K in percent, with 95 % intervals, and their sum; the best of a column is bold. "
        "Means over seeds or runs where a system has several."
    )
    return Table("Retrieval", note, RETRIEVAL_COLUMNS, _rows(outcomes, RETRIEVAL_METRICS))


def _pairs(outcomes: ComparisonOutcomes) -> Table:
    title = "Does this text belong to this picture?"
    return Table(title, PAIR_NOTE, PAIR_COLUMNS, _rows(outcomes, PAIR_METRICS))


def _by_language(outcomes: ComparisonOutcomes) -> Table:
    points = (CUTOFFS[0], CUTOFFS[-1])
    languages = outcomes.languages()
    columns = [
        Column(f"{code}, {rows.sum():,} texts", f"R@{k}")
        for code, rows in languages.items()
        for k in points
    ]
    rows = tuple(
        Row(
            name,
            tuple(
                estimate
                for texts in languages.values()
                for estimate in outcomes.recalls(name, points, texts)
            ),
        )
        for name in outcomes.numbers
    )
    note = "Text to image, among all pictures, by the language that the texts are in."
    return Table("Languages", note, tuple(columns), rows)


def _rows(outcomes: ComparisonOutcomes, metrics: Sequence[str]) -> tuple[Row, ...]:
    return tuple(
        Row(name, tuple(numbers[metric] for metric in metrics))
        for name, numbers in outcomes.numbers.items()
    )


def _costs(outcomes: ComparisonOutcomes) -> Sheet:
    rows = {}
    for name in outcomes.numbers:
        costs = outcomes.costs.get(name, {})
        shown = [form(costs[key]) if key in costs else UNKNOWN for key, form in SHOWN.items()]
        seconds = outcomes.training_seconds(name)
        rows[name] = (*shown, UNKNOWN if seconds is None else f"{seconds:,.0f}")
    return Sheet("What it costs", COST_NOTE.format(cores=cores()), HEADINGS, rows)


def _scatters(outcomes: ComparisonOutcomes) -> list[Scatter]:
    axes = {
        "Quality against reading": ("milliseconds a picture", _milliseconds_a_picture),
        "Quality against asking": ("milliseconds a query", lambda costs: costs["query_ms"]),
    }
    costed = [name for name in outcomes.numbers if name in outcomes.costs]
    return [
        Scatter(
            title,
            FRONT_NOTE,
            label,
            "rsum",
            {name: (cost(outcomes.costs[name]), outcomes.numbers[name]["rsum"]) for name in costed},
        )
        for title, (label, cost) in axes.items()
        if len(costed) > 1
    ]


def _milliseconds_a_picture(costs: Mapping[str, float]) -> float:
    return 1000 / costs["pictures_per_second"]


def _setting(outcomes: ComparisonOutcomes) -> dict[str, str]:
    runs = {name: len(results) for name, results in outcomes.runs.items() if len(results) > 1}
    return {
        "measured on": f"{count_of(outcomes.pairs)}, fingerprint {outcomes.pairs.fingerprint()}",
        **({"runs": ", ".join(f"{n} of {name}" for name, n in runs.items())} if runs else {}),
        "machine": f"{cores()} cores, {platform.machine()}",
        "intervals": f"95 %, bootstrap over images with their texts, seed {outcomes.seed}",
        "versions": versions("torch", "numpy"),
    }


@dataclass(frozen=True, eq=False)
class ComparisonOutcomes(Outcomes):
    """The outcomes of systems on one split; see ``of_systems``.

    Attributes
    ----------
    pairs : PairSet
        What was measured on.
    costs : mapping
        The facts of ``costs.measure``, by system, of its first member.
    """

    pairs: PairSet
    costs: Mapping[str, Mapping[str, float]]

    @classmethod
    def of_systems(
        cls,
        systems: Sequence[System],
        results: Mapping[str, Result],
        costs: Mapping[str, Mapping[str, float]],
        pairs: PairSet,
        drawn: LabelledPairs,
        seed: int,
    ) -> Self:
        """Return the outcomes of the systems of which every member was measured."""
        runs = {
            system.name: [results[run] for run in system.runs]
            for system in systems
            if all(run in results for run in system.runs)
        }
        return cls(runs, components(pairs.truth), drawn, seed, pairs, costs)

    @cached_property
    def numbers(self) -> Mapping[str, Mapping[str, Estimate]]:
        """Every metric of each system, the best rsum first."""
        by_system = {name: self.estimates(name) for name in self.runs}
        return dict(sorted(by_system.items(), key=lambda item: -item[1]["rsum"].value))

    def languages(self) -> dict[str, NDArray[np.bool_]]:
        """Return which texts are in each language that texts of two images or more are in."""
        codes = np.array(self.pairs.text_languages, np.str_)
        by_language = {code: codes == code for code in sorted(set(codes.tolist()) - {""})}
        return {
            code: rows
            for code, rows in by_language.items()
            if len(set(self.groups.texts[rows])) > 1
        }

    def training_seconds(self, system: str) -> float | None:
        """Return the mean over what was trained here, None if nothing was."""
        facts: list[Mapping[str, Any]] = [run.facts for run in self.of(system)]
        seconds = [run["training_seconds"] for run in facts if run["training_seconds"] is not None]
        return float(np.mean(seconds)) if seconds else None
