"""Claims: differences on the same queries, corrected p-values, and what follows from them."""

from __future__ import annotations

import itertools
from dataclasses import asdict

import numpy as np
import pytest

from visita.evaluation import paired_difference
from visita.evaluation.intervals import mean_statistic
from visita.report.claims import Claim, Comparison, Measured, at_least, decide, holm, tally

QUERIES = 600


LUCK = np.random.default_rng(0).random(QUERIES)
"""Of each query; systems share it: one is right wherever a worse one is."""


def right(rate: float) -> np.ndarray:
    return 100.0 * (rate > LUCK)


def hits(rates: dict[tuple[str, str], float], images: int = 200) -> Measured:
    owners = np.arange(QUERIES) % images
    return Measured(
        images, lambda system, metric: mean_statistic(right(rates[system, metric]), owners)
    )


def claim(*metrics: str, system: str = "new", enough: int = 1, lower: bool = False) -> Claim:
    comparisons = tuple(Comparison(system, "old", metric) for metric in metrics)
    return Claim("one", "new is better", "all", comparisons, enough, lower)


def outcomes(claims: list[Claim], measured: Measured) -> list[str]:
    return [one.outcome for one in decide(claims, {"all": measured}, seed=0, resamples=2000)]


def test_a_clear_difference_holds_one_way_and_not_the_other():
    measured = hits({("old", "R@1"): 0.3, ("new", "R@1"): 0.4})
    assert outcomes([claim("R@1")], measured) == ["holds"]
    assert outcomes([claim("R@1", lower=True)], measured) == ["does not hold"]


def test_equal_systems_are_not_decided():
    assert outcomes([claim("R@1")], hits({("old", "R@1"): 0.3, ("new", "R@1"): 0.3})) == [
        "not decided"
    ]


def test_the_difference_is_the_paired_one_with_its_interval():
    measured = hits({("old", "R@1"): 0.30, ("new", "R@1"): 0.33})
    [verdict] = decide([claim("R@1")], {"all": measured}, seed=3, resamples=500)
    expected = paired_difference(
        right(0.30), right(0.33), np.arange(QUERIES) % 200, seed=3, resamples=500
    )
    [found] = verdict.differences
    assert asdict(found) == pytest.approx(asdict(expected))
    assert verdict.p_value == expected.p_value  # one claim: nothing to correct


def test_every_needs_all_and_most_needs_two_of_three():
    rates = {("old", k): 0.3 for k in ("R@1", "R@5", "R@10")}
    rates |= {("new", "R@1"): 0.3, ("new", "R@5"): 0.4, ("new", "R@10"): 0.4}
    metrics = ("R@1", "R@5", "R@10")
    every, most = claim(*metrics, enough=3), claim(*metrics, enough=2)
    assert outcomes([every], hits(rates)) == ["not decided"]
    assert outcomes([most], hits(rates)) == ["holds"]
    rates["new", "R@1"] = 0.2
    assert outcomes([every], hits(rates)) == ["does not hold"]
    assert outcomes([most], hits(rates)) == ["holds"]
    rates["new", "R@5"] = 0.2
    assert outcomes([most], hits(rates)) == ["does not hold"]


def test_a_claim_that_only_stands_alone_is_lost_among_many():
    rates = {("old", "R@1"): 0.300, ("new", "R@1"): 0.315, ("same", "R@1"): 0.3}
    alone, same = claim("R@1"), claim("R@1", system="same")
    [one] = decide([alone], {"all": hits(rates)}, seed=0, resamples=2000)
    assert (one.outcome, one.differences[0].low > 0) == ("holds", True)
    many = decide([alone, *[same] * 9], {"all": hits(rates)}, seed=0, resamples=2000)
    assert many[0].p_value == pytest.approx(min(1, 10 * one.p_value))
    assert {verdict.outcome for verdict in many} == {"not decided"}


def test_what_was_not_measured_is_said_and_corrects_nothing():
    measured = hits({("old", "R@1"): 0.3, ("new", "R@1"): 0.4})
    missing = claim("R@1", system="failed")
    elsewhere = Claim("two", "", "small", (Comparison("new", "old", "R@1"),))
    found = decide([missing, claim("R@1"), elsewhere], {"all": measured}, seed=0, resamples=500)
    assert [one.outcome for one in found] == ["not measured", "holds", "not measured"]
    assert found[0].differences == ()
    assert found[0].p_value is None
    assert found[1].p_value == found[1].differences[0].p_value
    assert tally(found) == "1 holds, 2 were not measured"


def test_holm_is_the_naive_step_down():
    rng = np.random.default_rng(1)
    for _ in range(20):
        p_values = rng.random(6) ** 4
        expected = {}
        highest = 0.0
        for rank, index in enumerate(sorted(range(6), key=lambda i: p_values[i])):
            highest = max(highest, min(1.0, (6 - rank) * p_values[index]))
            expected[index] = highest
        assert holm(p_values) == pytest.approx([expected[i] for i in range(6)])
    assert holm([]) == []


def test_at_least_is_bonferroni_over_every_choice_that_could_refute_it():
    # 'At least u of n' is refuted by some n - u + 1 nulls; Bonferroni tests each such set.
    rng = np.random.default_rng(2)
    for enough in (1, 2, 3, 4):
        p_values = rng.random(4) ** 3
        size = 4 - enough + 1
        expected = max(min(1, size * min(some)) for some in itertools.combinations(p_values, size))
        assert at_least(list(p_values), enough) == pytest.approx(expected)


def test_labels_tell_the_comparisons_apart():
    assert claim("R@1", "R@5").labels() == ["R@1", "R@5"]
    best = Claim("x", "", "all", (Comparison("a", "b", "R@10"), Comparison("a", "c", "R@10")))
    assert best.labels() == ["R@10 against b", "R@10 against c"]
