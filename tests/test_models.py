"""What ``visita models`` lists beside encoders: what can be trained or fetched, and its needs."""

from __future__ import annotations

import json

import pytest

from visita.baselines import BASELINES
from visita.cli.models import describe, models
from visita.encoders.pretrained.model import KNOWN
from visita.matchers import shipped_folder

pytestmark = pytest.mark.slow


def test_every_baseline_is_listed_with_paper_and_needs(capsys):
    models(as_json=True)
    found = json.loads(capsys.readouterr().out)
    baselines = {one["name"]: one for one in found["baselines"]}
    assert tuple(baselines) == BASELINES.names()
    for one in baselines.values():
        assert one["what"].endswith(".") and one["paper"][-4:].isdigit()
    assert baselines["uvs"]["what"] != baselines["vse++"]["what"]
    assert {name: one["extra"] for name, one in baselines.items() if one["extra"]} == {
        "bag-of-words": "classical"
    }
    assert {name: one["depth"] for name, one in baselines.items() if one["depth"]} == {
        "m-cnn": 50,
        "scan": 50,
        "nic": 100,
    }
    assert [one["name"] for one in found["pretrained"]] == [one.name for one in KNOWN]
    assert {one["extra"] for one in found["pretrained"]} == {"transformers"}


def test_a_line_says_what_a_baseline_is_and_how_to_train_it(capsys):
    models()
    lines = capsys.readouterr().out.splitlines()
    at = lines.index(
        "baseline nic: A recurrent captioner: ranks by likelihood, and writes captions."
    )
    assert lines[at + 1].strip() == (
        "Vinyals et al. 2015, Mao et al. 2015; visita train baseline nic; "
        "the second of two stages re-ranks the first 100"
    )
    bag = next(number for number, line in enumerate(lines) if line.startswith("baseline bag-of-"))
    assert lines[bag + 1].endswith("; pip install 'visita[classical]'")


def test_a_shipped_matcher_says_how_deep_it_looks():
    assert describe(shipped_folder("visita-base"))["second"]["depth"] == 50
    assert describe(shipped_folder("visita-small"))["second"] is None
