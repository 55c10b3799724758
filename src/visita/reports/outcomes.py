"""What systems reached on the same images and texts: metrics with intervals, paired; examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from visita.data.pairs import LEAST, PairSet
from visita.evaluation.intervals import (
    Difference,
    Estimate,
    Groups,
    Statistic,
    Values,
    differences,
    estimates,
    mean_statistic,
    over_draws,
)
from visita.evaluation.pairs import LabelledPairs, decision_statistic, ranking_metrics
from visita.evaluation.ranks import hits
from visita.evaluation.retrieval import CUTOFFS, DIRECTIONS, rank_statistic
from visita.evaluation.retrieval import METRICS as RANK_METRICS
from visita.evaluation.unseen import kept
from visita.report import Column, Example, Examples, Picture
from visita.report.claims import Claim, Measured, Verdict, decide
from visita.reports.cells import Result

PAIR_METRICS = ("recall", "precision", "F1", "mAP")
METRICS = (
    *PAIR_METRICS,
    *(f"{direction} {name}" for direction in DIRECTIONS for name in RANK_METRICS),
    "rsum",
)
SIDES = ("images", "texts")
WAYS = dict(zip(DIRECTIONS, ("image to text", "text to image"), strict=True))
PAIR_COLUMNS = tuple(Column("", name) for name in PAIR_METRICS)
RETRIEVAL_COLUMNS = (
    *(Column(way, f"R@{k}") for way in WAYS.values() for k in CUTOFFS),
    Column("", "rsum"),
)
RETRIEVAL_METRICS = (*(f"{way} R@{k}" for way in DIRECTIONS for k in CUTOFFS), "rsum")
FOUND = 4
"""Pictures kept of each answer."""
SHOWN = 4
"""Examples of each kind."""


def count_of(pairs: PairSet) -> str:
    """Return how many images and texts there are, in words."""
    return f"{len(pairs.image_ids):,} images, {len(pairs.texts):,} texts"


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The runs of systems, seeds averaged.

    Attributes
    ----------
    runs : mapping
        The result of each seed, by system. Its arrays are the rank of the best true item, int64
        ``images`` (n, 3) and ``texts`` (m, 3), and the scores of the pairs ``drawn``, float64
        ``pairs`` (p,), and bool ``seen`` (n,), which images it saw before, where that is known;
        its fact ``threshold`` is from which score a pair counts as a match.
    groups : Groups
        What is drawn together when images are resampled.
    drawn : LabelledPairs
    seed : int
        Of the intervals.
    """

    runs: Mapping[str, Sequence[Result]]
    groups: Groups
    drawn: LabelledPairs
    seed: int

    def of(self, system: str) -> Sequence[Result]:
        """Return the result of each seed.

        Raises
        ------
        KeyError
            If one is missing.
        """
        return self.runs[system]

    def measured(self, systems: Sequence[str]) -> list[str]:
        """Return those of ``systems`` that are measured."""
        return [system for system in systems if system in self.runs]

    def seen(self) -> NDArray[np.bool_]:
        """Return which images any system saw before, bool (n,); one may not be known to."""
        seen = np.zeros(len(self.groups.images), bool)
        for result in (result for runs in self.runs.values() for result in runs):
            seen |= result.arrays.get("seen", False)
        return seen

    def unseen(self) -> Self | None:
        """Return the outcomes on what no system saw, in the same gallery.

        None where nothing was seen, or so much that there is no interval.
        """
        seen = self.seen()
        images, texts, groups = kept(self.groups, ~seen)
        if not seen.any() or groups.count < LEAST:
            return None
        drawn, rows = self.drawn.of_images(images)
        drawn = replace(drawn, images=(np.cumsum(images) - 1)[drawn.images])
        left = {"images": images, "texts": texts, "pairs": rows}

        def of(result: Result) -> Result:
            return Result(result.facts, {key: result.arrays[key][at] for key, at in left.items()})

        runs = {system: [of(result) for result in self.runs[system]] for system in self.runs}
        return replace(self, runs=runs, groups=groups, drawn=drawn)

    def estimates(self, system: str) -> dict[str, Estimate]:
        """Return every one of ``METRICS``, a mean over seeds."""
        values = estimates(self._statistic(system), self.groups.count, seed=self.seed)
        return dict(zip(METRICS, values, strict=True))

    def differences(self, system: str, baseline: str) -> dict[str, Difference]:
        """Return by how much each of ``METRICS`` is above that of ``baseline``."""
        of_system, of_baseline = self._statistic(system), self._statistic(baseline)
        values = differences(
            lambda weights: of_system(weights) - of_baseline(weights),
            self.groups.count,
            seed=self.seed,
        )
        return dict(zip(METRICS, values, strict=True))

    def decide(self, claims: Sequence[Claim], queries: str) -> list[Verdict]:
        """Test claims about ``queries``, as all that was measured is called."""
        measured = {queries: Measured(self.groups.count, self.statistic)}
        return decide(claims, measured, seed=self.seed)

    def recalls(
        self, system: str, points: Sequence[int], texts: NDArray[np.bool_] | None = None
    ) -> list[Estimate]:
        """Return the recall at each of ``points`` of the texts, which ask for their picture.

        ``texts``, bool (m,), says which of them count, if not all.
        """
        rows = slice(None) if texts is None else texts
        ranks = np.stack([run.arrays["texts"] for run in self.of(system)])[:, rows]
        recalls = 100 * hits(ranks, points).mean(axis=0)
        groups, owners = np.unique(self.groups.texts[rows], return_inverse=True)
        return estimates(mean_statistic(recalls, owners), len(groups), seed=self.seed)

    def statistic(self, system: str, metric: str) -> Statistic:
        """Return how one of ``METRICS`` follows from how often each group is drawn.

        Raises
        ------
        KeyError
            If the system was not measured.
        """
        if metric == "rsum":  # often asked for, and medians take long
            return self._rsum(system)
        statistic, column = self._statistic(system), METRICS.index(metric)
        return lambda weights: statistic(weights)[:, [column]]

    def _rsum(self, system: str) -> Statistic:
        sides = []
        for name, owners in zip(SIDES, (self.groups.images, self.groups.texts), strict=True):
            ranks = np.stack([run.arrays[name] for run in self.of(system)])
            recalls = 100 * hits(ranks, CUTOFFS).mean(axis=0).sum(axis=-1)
            sides.append(mean_statistic(recalls, owners))
        return lambda weights: sides[0](weights) + sides[1](weights)

    def _statistic(self, system: str) -> Statistic:
        runs, groups = self.of(system), self.groups
        ranks = [np.stack([run.arrays[side] for run in runs]) for side in SIDES]
        decided = pair_statistic(
            [run.arrays["pairs"] for run in runs],
            [float(run.facts["threshold"]) for run in runs],
            self.drawn,
            groups,
        )
        ranked = rank_statistic(ranks[0], ranks[1], groups)
        return lambda weights: np.concatenate([decided(weights), ranked(weights)], axis=1)


def pair_statistic(
    scores: Sequence[Values], thresholds: Sequence[float], drawn: LabelledPairs, groups: Groups
) -> Statistic:
    """Return weights (r, groups) → ``PAIR_METRICS`` in percent, means over runs: (r, 4).

    Parameters
    ----------
    scores : sequence of float64 (p,)
        Of the pairs ``drawn``, a run each.
    thresholds : sequence of float
        From which score a pair counts as a match, by run.
    groups : Groups
        What is drawn together when images are resampled.
    """
    owners = groups.images[drawn.images]
    called = np.stack(
        [run >= threshold for run, threshold in zip(scores, thresholds, strict=True)], axis=1
    )

    def of_draw(rows: NDArray[np.int64]) -> Statistic:
        labels, owned = drawn.labels[rows], owners[rows]
        decided = decision_statistic(called[rows], labels, owned)
        ranked = [ranking_metrics(run[rows], labels, owned) for run in scores]

        def statistic(weights: Values) -> Values:
            mean_precision = np.mean([of_run(weights)[:, :1] for of_run in ranked], axis=0)
            recall_first = decided(weights)[:, [1, 0, 2]]
            return np.asarray(100 * np.concatenate([recall_first, mean_precision], axis=1))

        return statistic

    return over_draws([of_draw(rows) for rows in drawn.rows()])


@dataclass(frozen=True, eq=False)
class Answers:
    """What a system and a simpler one answer to the m texts of some pairs.

    Attributes
    ----------
    pairs : PairSet
    groups : int64 (m,)
        Texts of one group share a picture; one of them is shown.
    system, baseline : str
        What a sentence calls the two.
    ranks, before : float64 (m,)
        Rank of each text's best picture by the two, seeds averaged.
    found : int64 (m, FOUND)
        The first pictures by the system, in the first seed.
    """

    pairs: PairSet
    groups: NDArray[np.int64]
    system: str
    baseline: str
    ranks: NDArray[np.float64]
    before: NDArray[np.float64]
    found: NDArray[np.int64]


def best_and_worst(answers: Answers) -> Iterator[Examples]:
    """Yield the best and the worst answers, ids beside pictures."""
    ranks, before = answers.ranks, answers.before
    framed = (
        "A green frame marks the right picture; where it is not among the first "
        f"{FOUND}, it comes last. {answers.system}, pictures of the first seed."
    )
    for title, note, order in (
        (
            "Best answers",
            f"Of the texts with the best rank, those that {answers.baseline} ranks lowest.",
            np.lexsort((-before, ranks)),
        ),
        (
            "Worst answers",
            "The texts whose picture has the lowest rank.",
            np.lexsort((before, -ranks)),
        ),
    ):
        shown = tuple(_example(row, answers) for row in _of_different_pictures(order, answers))
        yield Examples(title, f"{note} {framed}", shown)


def _of_different_pictures(order: NDArray[np.int64], answers: Answers) -> list[int]:
    """Return the first texts of ``order``, one of each group."""
    _, first = np.unique(answers.groups[order], return_index=True)
    return [int(row) for row in order[np.sort(first)][:SHOWN]]


def _example(text: int, answers: Answers) -> Example:
    pairs, nearest = answers.pairs, answers.found[text].tolist()
    right = np.flatnonzero(pairs.truth[:, [text]].toarray()[:, 0]).tolist()
    shown = nearest if set(right) & set(nearest) else [*nearest, right[0]]
    siblings = np.flatnonzero(pairs.truth[[right[0]]].toarray()[0])
    number = 1 + siblings.tolist().index(text)
    return Example(
        f"{pairs.image_ids[right[0]]}, text {number}",
        pairs.texts[text],
        f"Mean rank {answers.ranks[text]:,.1f} of {len(pairs.image_ids):,}; "
        f"{answers.baseline}: {answers.before[text]:,.1f}.",
        tuple(Picture(pairs.image_ids[i], pairs.image_paths[i], i in right) for i in shown),
    )
