"""``runs/few_shot.py`` at a small size: what is drawn, what is measured, what is written."""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from visita.errors import DataError
from visita.evaluation import retrieval

sys.path.insert(0, str(Path(__file__).parents[1] / "runs"))

import few_shot

pytestmark = [pytest.mark.slow, pytest.mark.campaign]

SIZES = (20, 40)
SETTINGS = (
    *("mirror=true", "class_names_weight=0", "keywords_per_image=0", "epochs=1"),
    *("dim=32", "fusion_dim=32", "hidden=32", 'text_levels=["layer3", "layer6"]'),
    'image_levels={"efficientnet-lite0": ["block10:avg", "head:avg", "classes"]}',
)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("few")


def run(monkeypatch: pytest.MonkeyPatch, folder: Path, work: Path, *more: str) -> None:
    words = ["--data", f"folder:{folder}", "--work", str(work), "--out", str(work / "few-shot")]
    words += ["--sizes", *map(str, SIZES), "--seeds", "1"]
    words += [word for setting in SETTINGS for word in ("--set", setting)]
    monkeypatch.setattr(sys, "argv", ["few_shot.py", *words, *more])
    few_shot.main()


@pytest.fixture(scope="module")
def made(drawn_folder, work) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        run(patch, drawn_folder, work)
    return work


def test_a_draw_is_of_train_alone_with_all_its_texts_and_grows(drawn_pairs):
    known = {split: set(drawn_pairs.take(split).image_ids) for split in ("train", "dev", "test")}
    draws = [few_shot.few(drawn_pairs, size, 0) for size in (10, 30, 84)]
    for draw, size in zip(draws, (10, 30, 84), strict=True):
        assert len(draw.image_ids) == size
        assert set(draw.image_ids) <= known["train"]
        assert len(draw.texts) == 3 * size  # every drawn picture has three
        assert draw.splits() == {"train": round(0.9 * size), "dev": round(0.1 * size), "test": 0}
    for smaller, larger in pairwise(draws):
        assert set(smaller.image_ids) < set(larger.image_ids)
    assert set(few_shot.few(drawn_pairs, 10, 1).image_ids) != set(draws[0].image_ids)
    with pytest.raises(DataError, match="has 84 training images; give smaller --sizes"):
        few_shot.few(drawn_pairs, 85, 0)


def test_the_report_has_a_row_and_a_point_for_every_size(made):
    assert {path.name for path in made.iterdir()} == {
        *("cells", "report.html", "report.md", "report.json", "few-shot.json", "few-shot.md")
    }
    report = json.loads((made / "few-shot.json").read_text("utf-8"))
    [table], [curve] = report["tables"], report["figures"]
    assert [row["name"] for row in table["rows"]] == ["20 images", "40 images"]
    assert curve["points"] == ["20", "40"]
    for row, point in zip(table["rows"], curve["lines"]["rsum"], strict=True):
        assert point["value"] == pytest.approx(sum(cell["value"] for cell in row["cells"]))
        assert point["low"] < point["value"] < point["high"]
    assert report["setting"]["measured on"] == "dev, 18 images, 54 texts"
    assert (made / "few-shot.md").read_bytes() == (made / "report.md").read_bytes()


def test_a_second_run_trains_nothing_and_writes_the_same(made, drawn_folder, monkeypatch, capfd):
    before = (made / "few-shot.json").read_bytes()
    run(monkeypatch, drawn_folder, made)
    found = capfd.readouterr()
    assert "2 of 2 cells were computed before" in found.err
    assert "before training" not in found.err
    assert found.out.startswith("From 20 images with all their captions")
    assert (made / "few-shot.json").read_bytes() == before


def test_seeds_are_averaged_over_the_hits_of_each_query(drawn_pairs):
    rng = np.random.default_rng(0)
    dev = drawn_pairs.take("dev")
    truth = dev.truth.tocsr()
    runs = [
        retrieval(
            *(rng.standard_normal((n, 8)).astype(np.float32) for n in truth.shape), truth, seed=0
        )
        for _ in range(3)
    ]
    results = {
        few_shot.named(5, seed): few_shot.Result(
            {}, {"images": run.image_ranks, "texts": run.text_ranks}
        )
        for seed, run in enumerate(runs)
    }
    found = few_shot.over_seeds(drawn_pairs, 5, results, 3)
    assert found.rsum.value == pytest.approx(np.mean([run.rsum.value for run in runs]))


def test_one_size_makes_no_curve(drawn_folder, work, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(monkeypatch, drawn_folder, work, "--sizes", "20")
    assert "two sizes or more" in capsys.readouterr().err
