"""What a comparison found: the outcomes of each system, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from visita.data.pairs import PairSet
from visita.evaluation.intervals import Estimate, components
from visita.evaluation.pairs import LabelledPairs
from visita.experiments.cells import Result
from visita.experiments.outcomes import Outcomes
from visita.experiments.systems import System


@dataclass(frozen=True, eq=False)
class Comparison(Outcomes):
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
            one.name: [results[run] for run in one.runs]
            for one in systems
            if all(run in results for run in one.runs)
        }
        return cls(runs, components(pairs.truth), drawn, seed, pairs, costs)

    @cached_property
    def numbers(self) -> Mapping[str, Mapping[str, Estimate]]:
        """Every metric of each system, the best rsum first."""
        found = {name: self.estimates(name) for name in self.runs}
        return dict(sorted(found.items(), key=lambda one: -one[1]["rsum"].value))

    def languages(self) -> dict[str, NDArray[np.bool_]]:
        """Return which texts are in each language that texts of two images or more are in."""
        codes = np.array(self.pairs.text_languages, np.str_)
        found = {code: codes == code for code in sorted(set(codes.tolist()) - {""})}
        return {code: rows for code, rows in found.items() if len(set(self.groups.texts[rows])) > 1}

    def training_seconds(self, system: str) -> float | None:
        """Return the mean over what was trained here, None if nothing was."""
        facts: list[Mapping[str, Any]] = [run.facts for run in self.of(system)]
        seconds = [one["training_seconds"] for one in facts if one["training_seconds"] is not None]
        return float(np.mean(seconds)) if seconds else None
