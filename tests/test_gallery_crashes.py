"""Work on stores and galleries that ends at any change of the disk loses nothing."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from crashing import crash, points, scenarios

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc and fork"),
]


@pytest.mark.parametrize("number", range(5), ids=lambda n: f"kind-{n}")
def test_work_that_ends_at_some_change_of_the_disk_loses_nothing(tmp_path, number):
    scenario = scenarios(tmp_path)[number]
    total = points(scenario, tmp_path / "count")
    assert total > 20
    rng = np.random.default_rng(number)
    for at in rng.choice(total, 3, replace=False).tolist():
        for seed in (None, at):
            outcome = crash(scenario, tmp_path / "work", at, seed)
            assert outcome.right and outcome.resumed, (scenario.name, at, seed)


def test_what_is_lost_is_noticed(tmp_path):
    scenario = replace(scenarios(tmp_path)[1], kept={"00.png"})
    assert not crash(scenario, tmp_path / "work", 0, None).right  # ended before it had begun
