"""``visita reproduce fusion`` end to end on drawn pairs; its measures against plain loops."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import Done, run

import visita
from visita.data.pairs import held_out
from visita.errors import ConfigError, DataError, UnknownNameError
from visita.evaluation.ranks import mean_ranks
from visita.papers.fusion import (
    SMALL,
    WHOLE,
    FusionBench,
    FusionOutcomes,
    compute,
    make_bench,
    plan,
)
from visita.papers.fusion_claims import SYSTEMS, claims
from visita.papers.reproduce import levels_of, reproduce
from visita.training.config import PaperConfig

pytestmark = pytest.mark.slow

LEVELS = {"efficientnet-lite0": ("block10:avg", "head:avg")}
CONFIG = PaperConfig(image_levels=LEVELS, topics=8, hidden=16, epochs=1)


@pytest.fixture(scope="module")
def bench(drawn_pairs) -> FusionBench:
    return make_bench(drawn_pairs, "dev", CONFIG, 8, None)


@pytest.fixture(scope="module")
def made(drawn_folder, tmp_path_factory) -> tuple[Path, Done]:
    """Run the command once: one seed, no small gallery, as dev has 18 pictures."""
    out = tmp_path_factory.mktemp("fusion")
    return out, command(drawn_folder, out)


def command(folder: Path, out: Path, *more: str) -> Done:
    words = ["reproduce", "fusion", "--data", f"folder:{folder}", "--out", str(out)]
    words += ["--image-encoder", "efficientnet-lite0", "--levels", "block10:avg,head:avg"]
    words += ["--seeds", "1", "--set", "epochs=1", "--set", "hidden=16"]
    return run(*words, *more)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a.astype(float) @ b) / length if length else 0.0


def test_the_command_writes_the_report_and_prints_every_verdict(made):
    out, done = made
    assert done.status == 0, done.err
    assert {path.name for path in out.iterdir()} == {
        *("cells", "report.html", "report.md", "report.json")
    }
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert [one["id"] for one in report["claims"]] == [one.id for one in claims("a", "b")]
    for one in report["claims"]:
        assert f"{one['outcome']}: {one['claim']} (" in done.out
    assert done.out.endswith(f"report: {out / 'report.html'}\n")
    assert {one["outcome"] for one in report["claims"] if one["queries"] == "small"} == {
        "not measured"
    }
    assert "warning: There are too few pictures for a small gallery" in done.err
    assert report["failed"] == []


def test_too_many_topics_become_as_many_as_the_texts_hold_and_it_is_said(made):
    out, done = made
    assert "The texts hold 19 topics, not 500; going on with those." in done.err
    setting = json.loads((out / "report.json").read_text("utf-8"))["setting"]
    assert setting["text encoder"] == "lsa, 19 numbers, fitted on train texts"


def test_a_second_call_computes_nothing_and_prints_the_same_numbers(made, drawn_folder):
    out, _ = made
    before = (out / "report.json").read_bytes()
    done = command(drawn_folder, out, "--json")
    assert "7 of 7 cells were computed before" in done.err
    assert "epoch 1" not in done.err
    assert done.json == json.loads(before)
    assert (out / "report.json").read_bytes() == before


def test_the_report_names_no_place_of_this_machine(made, drawn_folder):
    out, _ = made
    for name in ("report.html", "report.md", "report.json"):
        text = (out / name).read_text("utf-8")
        assert str(drawn_folder) not in text
        assert str(out) not in text
    again = json.loads((out / "report.json").read_text("utf-8"))["command"]
    assert again.startswith("visita reproduce fusion --data folder:PATH --out DIR ")
    assert "--set topics=19" in again
    assert "--set hidden=16" in again


def test_pictures_that_are_measured_choose_no_epoch_and_teach_nothing(drawn_pairs):
    found = held_out(drawn_pairs, "dev", 0)
    ids = {part: set(found.take(part).image_ids) for part in ("train", "dev", "test")}
    before = {part: set(drawn_pairs.take(part).image_ids) for part in ("train", "dev", "test")}
    assert ids["test"] == before["dev"]
    assert ids["train"] | ids["dev"] == before["train"]
    assert not ids["train"] & ids["dev"]
    assert len(ids["dev"]) == 8  # a tenth of 84
    same = held_out(drawn_pairs, "test", 0)
    assert {part: set(same.take(part).image_ids) for part in ids} == before


def test_the_small_gallery_holds_its_own_texts_only(bench, drawn_pairs):
    small, whole = bench.galleries[SMALL], bench.galleries[WHOLE]
    assert (small.name, whole.name) == ("8 images", "18 images")
    assert (len(small.images), len(small.texts)) == (8, 24)
    assert (len(whole.images), len(whole.texts)) == (18, 54)
    dev = drawn_pairs.take("dev").truth.toarray()
    assert np.array_equal(small.truth.toarray(), dev[small.images][:, small.texts].T)
    assert not np.delete(dev, small.images, axis=0)[:, small.texts].any()


def naive_rank(scores: list[float], true: np.ndarray) -> float:
    best = max(score for score, right in zip(scores, true, strict=True) if right)
    others = [score for score, right in zip(scores, true, strict=True) if not right]
    return 1 + sum(s > best for s in others) + sum(s == best for s in others) / 2


@pytest.mark.parametrize("levels", ["last", "all"])
def test_recommendation_is_the_paper_s_two_steps(bench, levels):
    [cell] = [c for c in plan(CONFIG, 1) if c.settings == {"levels": levels, "training": None}]
    arrays = compute(cell, bench).arrays
    width = bench.last if levels == "last" else bench.train.images.shape[2]
    past, seen = (part.images[:, 0, -width:] for part in (bench.train, bench.test))
    owner = bench.train.truth.tocsc().indices
    for key, gallery in bench.galleries.items():
        expected = []
        for place, text in enumerate(gallery.texts):
            like = [cosine(bench.test.texts[text], one) for one in bench.train.texts]
            chosen = past[owner[int(np.argmax(np.round(like, 6)))]]  # eq. 7
            scores = [cosine(chosen, seen[image]) for image in gallery.images]  # eq. 8
            expected.append(naive_rank(scores, gallery.truth[[place]].toarray()[0]))
        assert mean_ranks(arrays[f"recommendation/{key}"]).tolist() == expected


def test_a_network_answers_both_ways_and_the_last_level_alone_differs(bench):
    cells = {cell.name: cell for cell in plan(bench.config, 1)}
    fused = compute(cells["MLP(fc + mixed9), seed 0"], bench)
    single = compute(cells["MLP(fc), seed 0"], bench)
    assert len(fused.facts["dev"]) == 2  # before training and after one epoch
    for result in (fused, single):
        for way in ("direct", "recommendation"):
            assert result.arrays[f"{way}/small"].shape == (24, 3)
            assert result.arrays[f"{way}/whole"].shape == (54, 3)
            first = result.arrays[f"{way}/found"][:, 0]
            truth = bench.galleries[WHOLE].truth.toarray()
            right = truth[np.arange(54), first]
            assert np.array_equal(right, mean_ranks(result.arrays[f"{way}/whole"]) == 1)
    assert not np.array_equal(fused.arrays["direct/whole"], single.arrays["direct/whole"])


def test_the_plan_holds_every_system_for_every_seed():
    cells = plan(CONFIG.model_copy(update={"seed": 3}), 2)
    names = {cell.name for cell in cells}
    assert len(names) == len(cells) == 12
    for name, _ in SYSTEMS.values():
        assert name in names or {f"{name}, seed 3", f"{name}, seed 4"} <= names
    trained = [cell.settings["training"] for cell in cells if cell.settings["training"]]
    assert len({json.dumps(one, sort_keys=True) for one in trained}) == 8  # MLP(fc) reads less
    kinds = {(one["hidden_activation"], one["l2"]) for one in trained}
    assert kinds == {("sigmoid", 5e-4), ("sigmoid", 0), ("none", 5e-4), ("none", 0)}


def test_hits_are_averaged_over_the_seeds_that_there_are(bench):
    cells = {cell.name: cell for cell in plan(bench.config, 2)}
    name = "MLP(fc)"
    results = {key: compute(cells[key], bench) for key in (f"{name}, seed 0", f"{name}, seed 1")}
    both = FusionOutcomes(results, range(3)).hits("direct, MLP(fc)", WHOLE, 5)
    ranks = [result.arrays["direct/whole"] for result in results.values()]
    expected = [100 * np.mean([mean_ranks(one[q]) <= 5 for one in ranks]) for q in range(54)]
    assert both.tolist() == expected
    with pytest.raises(KeyError):
        FusionOutcomes(results, range(3)).hits("recommendation, fc", WHOLE, 5)


def test_other_features_have_another_fingerprint(bench):
    changed = bench.test.images.copy()
    changed[0, 0, 0] += 1
    other = replace(bench, test=replace(bench.test, images=changed))
    assert other.fingerprint() != bench.fingerprint()
    assert replace(bench).fingerprint() == bench.fingerprint()


def test_the_small_gallery_and_the_leak_are_reported(drawn_pairs, tmp_path):
    config = CONFIG.model_copy(update={"topics_from": "all", "epochs": 0})
    report = reproduce("fusion", drawn_pairs, tmp_path, config=config, seeds=1, small_gallery=8)
    assert any("fitted on all texts" in warning for warning in report.warnings)
    assert "not measured" not in {one.outcome for one in report.verdicts}
    assert len(report.verdicts) == 16
    for name in ("report.html", "report.md"):
        assert "numbers are too optimistic" in (tmp_path / name).read_text("utf-8")
    shown = json.loads((tmp_path / "report.json").read_text("utf-8"))
    assert [one["title"] for one in shown["examples"]] == ["Best answers", "Worst answers"]
    for group in shown["examples"]:
        for example in group["examples"]:
            owner = example["query"].partition(",")[0]
            assert owner in [p["id"] for p in example["pictures"] if p["right"]]


def test_what_cannot_be_reproduced_is_refused_with_what_to_do(drawn_pairs, tmp_path):
    assert visita.reproduce is reproduce
    with pytest.raises(UnknownNameError, match="Did you mean 'fusion'"):
        reproduce("fushion", drawn_pairs, tmp_path)
    with pytest.raises(ConfigError, match="seeds is a whole number of at least 1"):
        reproduce("fusion", drawn_pairs, tmp_path, seeds=0)
    with pytest.raises(ConfigError, match="Measure on dev or on test"):
        reproduce("fusion", drawn_pairs, tmp_path, split="train")
    alone = PaperConfig(image_levels={"efficientnet-lite0": ("head:avg",)})
    with pytest.raises(ConfigError, match="two levels or more"):
        reproduce("fusion", drawn_pairs, tmp_path, config=alone)
    without_dev = drawn_pairs.subset(np.flatnonzero(drawn_pairs.image_split == "train"))
    with pytest.raises(DataError, match="no images in split 'dev'"):
        reproduce("fusion", without_dev, tmp_path, config=CONFIG)
    with pytest.raises(ConfigError, match="Name the levels of efficientnet-lite0"):
        levels_of("efficientnet-lite0")
    assert levels_of("inception-v3") == {"inception-v3": ("mixed9", "fc")}
