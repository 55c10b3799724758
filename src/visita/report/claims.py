"""Claims about which system is better, each decided by a paired test on the same queries.

A claim may ask for several comparisons at once, such as "at most K" or "best of four". The
p-value of *at least u of its n comparisons* is (n − u + 1) times the u-th smallest, the
Bonferroni form of Benjamini & Heller, *Screening for partial conjunction hypotheses*, 2008;
for all of them that is the largest one. Holm's step-down correction (1979) over the claims
keeps the chance of any wrong verdict below 5 %.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from visita.evaluation.intervals import Difference, Statistic, Values, differences

RESAMPLES = 10_000
"""So many that the smallest possible p-value survives the correction over dozens of claims."""
LEVEL = 0.05
Outcome = Literal["holds", "does not hold", "not decided", "not measured"]
SAID: Mapping[Outcome, tuple[str, str]] = {
    "holds": ("holds", "hold"),
    "does not hold": ("does not hold", "do not hold"),
    "not decided": ("is not decided", "are not decided"),
    "not measured": ("was not measured", "were not measured"),
}
"""Of one claim and of several."""


@dataclass(frozen=True)
class Comparison:
    """One difference on one set of queries: a metric of ``system`` minus that of ``baseline``."""

    system: str
    baseline: str
    metric: str


@dataclass(frozen=True)
class Claim:
    """What a paper says.

    Attributes
    ----------
    id : str
    sentence : str
    queries : str
        The set of queries on which it is tested here.
    comparisons : tuple of Comparison
    enough : int
        How many of the comparisons must come out as claimed.
    lower : bool
        Whether the claim is that the system is worse.
    paper : mapping
        What the paper measured, by its data set.
    """

    id: str
    sentence: str
    queries: str
    comparisons: tuple[Comparison, ...]
    enough: int = 1
    lower: bool = False
    paper: Mapping[str, str] = field(default_factory=dict)

    def labels(self) -> list[str]:
        """Return what tells each comparison from the claim's others."""
        several = len({comparison.baseline for comparison in self.comparisons}) > 1
        return [
            f"{comparison.metric} against {comparison.baseline}" if several else comparison.metric
            for comparison in self.comparisons
        ]


@dataclass(frozen=True)
class Measured:
    """What systems reached on one set of queries.

    Attributes
    ----------
    groups : int
        How many groups of queries are drawn, each as a whole.
    statistic : callable
        Maps the name of a system and of a metric to its one value by how often each group is
        drawn, seeds averaged; raises KeyError where there is none.
    """

    groups: int
    statistic: Callable[[str, str], Statistic]


@dataclass(frozen=True)
class Verdict:
    """A tested claim: its differences, in order, and the p-value after correction (or None)."""

    claim: Claim
    differences: tuple[Difference, ...]
    p_value: float | None
    outcome: Outcome


def decide(
    claims: Sequence[Claim],
    measured: Mapping[str, Measured],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> list[Verdict]:
    """Test every claim; those with a system that was not measured are left out of the correction.

    Raises
    ------
    DataError
        If there are fewer than two groups of queries.
    """
    by_claim = [_differences(claim, measured, seed, resamples) for claim in claims]
    sides = [
        _sides(claim, its_differences)
        for claim, its_differences in zip(claims, by_claim, strict=True)
        if its_differences
    ]
    corrected = iter(zip(sides, holm([min(pair) for pair in sides]), strict=True))
    verdicts = []
    for claim, its_differences in zip(claims, by_claim, strict=True):
        if not its_differences:
            verdicts.append(Verdict(claim, (), None, "not measured"))
            continue
        (as_claimed, opposite), p_value = next(corrected)
        decided: Outcome = "holds" if as_claimed < opposite else "does not hold"
        outcome: Outcome = decided if p_value < LEVEL else "not decided"
        verdicts.append(Verdict(claim, its_differences, p_value, outcome))
    return verdicts


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return how many claims have each outcome, such as ``3 hold, 1 is not decided``."""
    count = Counter(verdict.outcome for verdict in verdicts)
    return ", ".join(
        f"{count[outcome]} {said[count[outcome] > 1]}"
        for outcome, said in SAID.items()
        if count[outcome]
    )


def at_least(p_values: Sequence[float], enough: int) -> float:
    """Return the p-value of 'at least ``enough`` of these effects are real'."""
    return float(min(1, (len(p_values) - enough + 1) * sorted(p_values)[enough - 1]))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values after Holm's correction, in the same order."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    raised = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(raised, 1)
    return [float(p_value) for p_value in corrected]


def _differences(
    claim: Claim, measured: Mapping[str, Measured], seed: int, resamples: int
) -> tuple[Difference, ...]:
    """Return the differences of a claim on the same resamples, or none if a system is missing."""
    try:
        at = measured[claim.queries]
        sides = [
            (
                at.statistic(comparison.system, comparison.metric),
                at.statistic(comparison.baseline, comparison.metric),
            )
            for comparison in claim.comparisons
        ]
    except KeyError:
        return ()

    def difference(weights: Values) -> Values:
        return np.concatenate([ours(weights) - theirs(weights) for ours, theirs in sides], axis=1)

    return tuple(differences(difference, at.groups, seed=seed, resamples=resamples))


def _sides(claim: Claim, compared: Sequence[Difference]) -> tuple[float, float]:
    """Return the p-value of the claim and that of its contrary."""
    up = [difference.p_value if difference.value > 0 else 1.0 for difference in compared]
    down = [difference.p_value if difference.value < 0 else 1.0 for difference in compared]
    if claim.lower:
        up, down = down, up
    # Too few are left for the claim once this many are known to go the other way.
    contrary = len(compared) - claim.enough + 1
    return at_least(up, claim.enough), at_least(down, contrary)
