"""What the systems of a reproduction of MKL-VisITA reached, seeds averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from visita.evaluation.intervals import (
    Difference,
    Estimate,
    Statistic,
    Values,
    differences,
    estimates,
    group_sums,
)
from visita.evaluation.retrieval import CUTOFFS, DIRECTIONS, rank_statistic
from visita.evaluation.retrieval import METRICS as RANK_METRICS
from visita.experiments.cells import Result
from visita.experiments.mkl_visita import Plan
from visita.experiments.mkl_visita_bench import TEST, Bench
from visita.experiments.mkl_visita_measures import PAIR_METRICS, pair_statistic

METRICS = (
    *PAIR_METRICS,
    *(f"{direction} {name}" for direction in DIRECTIONS for name in RANK_METRICS),
    "rsum",
)
SIDES = ("images", "texts")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The results of all cells, by system.

    A system is measured once all its seeds are, so that systems are compared on equal seeds.
    """

    bench: Bench
    plan: Plan
    results: Mapping[str, Result]

    def of(self, system: str) -> list[Result]:
        """Return the result of each seed.

        Raises
        ------
        KeyError
            If one is missing.
        """
        return [self.results[cell.name] for cell in self.plan[system]]

    def measured(self, systems: Sequence[str]) -> list[str]:
        """Return those of ``systems`` that are measured."""
        return [
            system
            for system in systems
            if system in self.plan and all(c.name in self.results for c in self.plan[system])
        ]

    def estimates(self, system: str) -> dict[str, Estimate]:
        """Return every one of ``METRICS``, a mean over seeds."""
        found = estimates(
            self._statistic(system), self.bench.groups.count, seed=self.bench.config.seed
        )
        return dict(zip(METRICS, found, strict=True))

    def differences(self, system: str, baseline: str) -> dict[str, Difference]:
        """Return by how much each of ``METRICS`` is above that of ``baseline``."""
        one, other = self._statistic(system), self._statistic(baseline)
        found = differences(
            lambda weights: one(weights) - other(weights),
            self.bench.groups.count,
            seed=self.bench.config.seed,
        )
        return dict(zip(METRICS, found, strict=True))

    def recalls(self, system: str, points: Sequence[int]) -> list[Estimate]:
        """Return the recall at each of ``points`` of the texts, which ask for their picture."""
        ranks = np.stack([run.arrays["texts"] for run in self.of(system)])
        hits = 100 * (ranks[:, :, None] <= np.array(points)).mean(axis=0)
        owners = self.bench.groups.texts
        sums, counts = group_sums(hits, owners), np.bincount(owners)
        return estimates(
            lambda weights: weights @ sums / (weights @ counts)[:, None],
            len(counts),
            seed=self.bench.config.seed,
        )

    def queries(self, system: str) -> Values:
        """Return what each picture and then each text adds to rsum, float64 (n + m,).

        Their mean is rsum: a query counts as many times as there are more queries than
        its direction has.

        Raises
        ------
        KeyError
            If the system was not measured.
        """
        sides = [np.stack([run.arrays[side] for run in self.of(system)]) for side in SIDES]
        count = sum(ranks.shape[1] for ranks in sides)
        hits = [sum(100 * (ranks <= k).mean(axis=0) for k in CUTOFFS) for ranks in sides]
        return np.concatenate([one * count / len(one) for one in hits])

    def _statistic(self, system: str) -> Statistic:
        runs, groups = self.of(system), self.bench.groups
        ranks = [np.stack([run.arrays[side] for run in runs]) for side in SIDES]
        decided = pair_statistic(
            [run.arrays["pairs"] for run in runs],
            [float(run.facts["threshold"]) for run in runs],
            self.bench.drawn[TEST],
            groups,
        )
        ranked = rank_statistic(ranks[0], ranks[1], groups)
        return lambda weights: np.concatenate([decided(weights), ranked(weights)], axis=1)
