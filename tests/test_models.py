"""What ``visita models`` lists beside encoders: what can be trained or fetched, and its needs."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from visita.baselines import BASELINES
from visita.cli.models import describe, models
from visita.encoders.pretrained.model import KNOWN
from visita.matchers import SHIPPED, shipped_folder
from visita.matchers.choices import COSTS, RECALLS, best_for_their_cost, is_here
from visita.matchers.default import make_default

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


def test_the_table_has_costs_recall_and_its_source_and_what_is_best(capsys):
    models()
    lines = capsys.readouterr().out.splitlines()
    for name in (*SHIPPED, *(one.name for one in KNOWN)):
        [row] = [line for line in lines if line[3:].startswith(f"{name} ")]
        assert row.startswith("*") == (name in best_for_their_cost())
        assert f"{COSTS[name].pictures:.2g}  " in row
        if recall := RECALLS.get(name):
            source = row.rpartition("[")[2].partition("]")[0]
            assert f"{recall.texts:.1f}, {recall.pictures:.1f}" in row
            assert f"[{source}] {recall.source}" in lines
    assert any(line.startswith("visita-small is the better choice on") for line in lines)


def test_the_best_are_those_that_no_other_beats():
    points = {n: (r.on, COSTS[n].pictures, r.pictures) for n, r in RECALLS.items()}
    for name, (on, rate, found) in points.items():
        others = [p for p in points.values() if p[0] == on and p[1] >= rate and p[2] > found]
        assert (name in best_for_their_cost()) == (not others)
    assert "visita-small" in best_for_their_cost()


def test_what_is_here_and_the_default_are_marked(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VISITA_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    name = "clip:ViT-B-32/laion2b_s34b_b79k"
    assert not is_here(name)
    kept = tmp_path / "hub" / "models--laion--CLIP-ViT-B-32-laion2B-s34B-b79K" / "snapshots" / "0"
    kept.mkdir(parents=True)
    (kept / "model.safetensors").touch()
    make_default("clip:openai/clip-vit-base-patch32@0123")
    models(as_json=True)
    found = json.loads(capsys.readouterr().out)
    listed = [*found["matchers"], *found["pretrained"]]
    assert [one["name"] for one in listed if one["here"]] == [*SHIPPED, name]
    [default] = [one["name"] for one in listed if one["default"]]
    assert default == "clip:openai/clip-vit-base-patch32"


def test_listing_imports_neither_torch_nor_transformers():
    program = "from visita.cli.models import models; models(); import sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "visita" in loaded and not loaded & {"torch", "transformers", "sklearn"}
