"""What the systems of a reproduction of MKL-VisITA reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from visita.experiments.cells import Result
from visita.experiments.mkl_visita import Plan
from visita.experiments.mkl_visita_bench import TEST, Bench
from visita.experiments.outcomes import Outcomes


@dataclass(frozen=True, eq=False)
class Reproduced(Outcomes):
    """The outcomes of a plan; see ``of_plan``.

    Attributes
    ----------
    bench : Bench
    plan : mapping
        The cells of each system.
    results : mapping
        Those of all cells that could be computed, by their names.
    others : tuple of str
        Systems that the plan did not train.
    """

    bench: Bench
    plan: Plan
    results: Mapping[str, Result]
    others: tuple[str, ...]

    @classmethod
    def of_plan(
        cls,
        bench: Bench,
        plan: Plan,
        results: Mapping[str, Result],
        others: Mapping[str, Result] | None = None,
    ) -> Self:
        """Return the outcomes of all systems of which every seed was measured, and of ``others``.

        So systems are compared on equal seeds.
        """
        runs = {
            system: [results[cell.name] for cell in cells]
            for system, cells in plan.items()
            if all(cell.name in results for cell in cells)
        }
        others = others or {}
        runs.update({name: [one] for name, one in others.items()})
        drawn, seed = bench.drawn[TEST], bench.config.seed
        return cls(runs, bench.groups, drawn, seed, bench, plan, results, tuple(others))
