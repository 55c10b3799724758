"""After a power cut all that was said to be kept is there; ``runs/power_cuts.py`` has more."""

from __future__ import annotations

import numpy as np
import pytest
from blocklog import why_not
from powercuts import after_cut, record

pytestmark = [pytest.mark.slow, pytest.mark.skipif(why_not() is not None, reason=str(why_not()))]


@pytest.mark.parametrize(
    "kind",
    [
        "save over an old matcher",
        pytest.param("first export", marks=pytest.mark.campaign),
        "gallery sync",
    ],
)
def test_a_power_cut_loses_nothing_that_was_said_to_be_kept(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("VISITA_HOME", str(tmp_path))  # a look at what is left names the disk
    rng = np.random.default_rng([3, *kind.encode()])
    recording = record(kind, tmp_path)
    assert recording.said and recording.log.events.count(None) > 3
    cuts = rng.integers(recording.started, len(recording.log.events), 2).tolist()
    for at in [*cuts, len(recording.log.events)]:
        assert after_cut(kind, tmp_path, recording, at, rng) == "", f"event {at}"
