"""``visita compare`` end to end on drawn pairs: trained and given matchers, costs, failures."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from commands import Done, run
from huggingface_hub import constants
from PIL import Image
from tiny import FUSION

import visita
from visita.baselines import BASELINES
from visita.errors import ConfigError, TrainingError, UnknownNameError
from visita.evaluation.intervals import Estimate
from visita.evaluation.measure import features_for
from visita.evaluation.ranks import mean_ranks
from visita.evaluation.rerank import ranks
from visita.report import Scatter
from visita.reports.compare import compare
from visita.reports.costs import measure
from visita.reports.systems import Fresh, Given, read_systems
from visita.training.config import AdaptConfig
from visita.training.mkl_config import MklVisitaPaperConfig

pytestmark = pytest.mark.slow

CCA = "cca=train:cca,topics=8,directions=4"
MISSING = "clip:no-such/checkpoint"


@pytest.fixture(scope="module", autouse=True)
def offline() -> Iterator[None]:
    """Seek the missing checkpoint on disk only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(constants, "HF_HUB_OFFLINE", True)
        yield


@pytest.fixture(scope="module")
def given(drawn_pairs, recipe, tmp_path_factory) -> list[Path]:
    """Two matchers of one kind, trained with different seeds."""
    folder = tmp_path_factory.mktemp("given")
    for seed in (0, 1):
        changed = {"image_levels": dict(recipe.levels), "seed": seed}
        config = FUSION.model_copy(update=changed)
        visita.train(drawn_pairs, folder / f"seed{seed}", config=config)
    return [folder / "seed0", folder / "seed1"]


@pytest.fixture(scope="module")
def table(drawn_pairs, tmp_path_factory) -> Path:
    """The pairs as a table: texts in two languages and none, the first test picture broken."""
    folder = tmp_path_factory.mktemp("table")
    for path in drawn_pairs.image_paths:
        shutil.copy(path, folder)
    first = np.flatnonzero(drawn_pairs.image_split == "test")[0]
    (folder / drawn_pairs.image_paths[first].name).write_bytes(b"\xff\xd8\xff nothing")
    images, texts = drawn_pairs.truth.nonzero()
    with (folder / "pairs.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "text", "split", "language"))
        for image, text in zip(images, texts, strict=True):
            name, split = drawn_pairs.image_paths[image].name, drawn_pairs.image_split[image]
            rows.writerow((name, drawn_pairs.texts[text], split, ("en", "de", "")[text % 3]))
    return folder / "pairs.csv"


@pytest.fixture(scope="module")
def measured(table) -> visita.PairSet:
    """What of the table's test split can be read."""
    test = visita.open_pairs(f"table:{table}").take("test")
    return test.subset(np.arange(1, len(test.image_ids)))


@pytest.fixture(scope="module")
def words(given) -> list[str]:
    return [f"ours={given[0]},{given[1]}", CCA, MISSING]


@pytest.fixture(scope="module")
def made(words, table, tmp_path_factory) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("compared")
    return out, run("compare", *words, "--data", f"table:{table}", "--out", out)


@pytest.fixture(scope="module")
def report(made) -> dict:
    out, done = made
    assert done.status == 0, done.err
    return json.loads((out / "report.json").read_text("utf-8"))


def numbers(report: dict, title: str) -> dict[str, list[float]]:
    [table] = [one for one in report["tables"] if one["title"] == title]
    return {row["name"]: [cell["value"] for cell in row["cells"]] for row in table["rows"]}


def test_the_command_says_which_is_best_and_writes_the_report(made, report, measured):
    out, done = made
    assert {path.name for path in out.iterdir()} == {
        *("cells", "matchers", "report.html", "report.md", "report.json")
    }
    assert done.out.splitlines() == [*report["lead"], f"report: {out / 'report.html'}"]
    queries = f"{len(measured.image_ids)} images, {len(measured.texts)} texts"
    assert report["lead"][0].startswith(f"2 systems on {queries}. Best in rsum: ")
    rsums = [row[-1] for row in numbers(report, "Retrieval").values()]
    assert rsums == sorted(rsums, reverse=True)


def test_a_matcher_that_cannot_be_had_is_reported_and_the_rest_goes_on(made, report):
    [failed] = report["failed"]
    assert failed["cell"] == MISSING
    assert f"failed: {MISSING} (" in made[1].err
    assert sorted(numbers(report, "Retrieval")) == ["cca", "ours"]


def test_numbers_are_those_of_evaluate_averaged_over_runs(report, given, measured):
    found = [visita.evaluate(one, measured, split="test")["protocols"] for one in given]
    expected = [
        np.mean([one["retrieval"][way][f"R@{k}"]["value"] for one in found])
        for way in ("image_to_text", "text_to_image")
        for k in (1, 5, 10)
    ]
    recalls = numbers(report, "Retrieval")["ours"]
    assert recalls[:-1] == pytest.approx(expected)
    assert recalls[-1] == pytest.approx(sum(expected))
    told = numbers(report, "Does this text belong to this picture?")["ours"]
    pairs = [one["pairs"] for one in found]
    for value, name in zip(told, ("recall", "precision", "F1", "mAP"), strict=True):
        assert value == pytest.approx(np.mean([one[name]["value"] for one in pairs]))


def test_each_is_tested_against_the_best_on_the_same_queries(report, made, measured):
    best, *others = numbers(report, "Retrieval")
    assert [one["claim"] for one in report["claims"]] == [
        f"{best} is better than {other}" for other in others
    ]
    [manifest] = (made[0] / "matchers").glob("cca-*/manifest.json")
    matcher = visita.load(manifest.parent)
    sides = ranks(matcher, features_for(matcher, measured, None))
    reached = {name: row[-1] for name, row in numbers(report, "Retrieval").items()}
    assert reached["cca"] == pytest.approx(
        sum(100 * np.mean(mean_ranks(one) <= k) for one in sides for k in (1, 5, 10))
    )
    gaps = {one["claim"]: one["differences"][0]["value"] for one in report["claims"]}
    assert gaps == pytest.approx(
        {f"{best} is better than {other}": reached[best] - reached[other] for other in others}
    )


def test_costs_are_facts_of_each_matcher(report, given):
    [sheet] = report["sheets"]
    assert set(sheet["rows"]) == {"ours", "cca"}
    ours, cca = sheet["rows"]["ours"], sheet["rows"]["cca"]
    assert ours["bytes a picture"] == str(4 * visita.load(given[0]).dim)
    assert (ours["training s"], float(cca["training s"]) >= 0) == ("–", True)
    for row in (ours, cca):
        assert float(row["pictures/s"]) > 0
        assert 50 < float(row["peak MB"].replace(",", "")) < 4000
    # MiniLM has 22.7 million, EfficientNet-Lite0 a few more; topics are few.
    assert 22.7 < float(ours["million parameters"]) < 33 > float(cca["million parameters"])
    [reading, asking] = report["figures"]
    assert set(reading["points"]) == {"ours", "cca"}
    assert reading["front"][-1] == asking["front"][-1] == next(iter(numbers(report, "Retrieval")))


def test_a_second_call_computes_nothing_again(made, words, table, report, capfd):
    out, _ = made
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")}
    compare(words, f"table:{table}", out)
    assert "3 of 3 cells were computed before" in capfd.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in out.rglob("manifest.json")} == stamps
    assert json.loads((out / "report.json").read_text("utf-8")) == report


def test_the_report_can_be_read_and_names_no_folder(made, given):
    out, _ = made
    markdown, page = (
        (out / "report.md").read_text("utf-8"),
        (out / "report.html").read_text("utf-8"),
    )
    assert "## Against the best" in markdown
    assert "<th>in the paper" not in page
    assert "in the paper" not in markdown
    assert page.count("<svg") == 2
    assert "in the Pareto set" in markdown
    assert str(given[0].parent) not in markdown
    assert "ours=seed0,seed1" in markdown


def test_a_picture_that_cannot_be_read_is_left_out_for_all_and_said(made, report, measured):
    assert [one["cell"] for one in report["failed"]] == [MISSING]
    assert "is left out: is a damaged JPEG file" in made[1].err
    assert report["setting"]["measured on"].startswith(f"{len(measured.image_ids)} images")


def test_recall_is_told_by_language_where_the_texts_have_one(report, measured, given):
    told = np.array(measured.text_languages)
    [table] = [one for one in report["tables"] if one["title"] == "Languages"]
    assert [one["group"] for one in table["columns"][::2]] == [
        f"{code}, {(told == code).sum()} texts" for code in ("de", "en")
    ]
    expected = []
    for folder in given:
        matcher = visita.load(folder)
        _, of_texts = ranks(matcher, features_for(matcher, measured, None))
        places = [mean_ranks(of_texts[told == code]) for code in ("de", "en")]
        expected.append([100 * np.mean(one <= k) for one in places for k in (1, 10)])
    assert numbers(report, "Languages")["ours"] == pytest.approx(np.mean(expected, axis=0))


def test_folds_rank_each_within_its_own(drawn_pairs, given):
    matcher = visita.load(given[0])
    features = features_for(matcher, drawn_pairs.take("test"), None)
    images, texts = ranks(matcher, features, folds=3)
    for fold in range(3):
        rows = np.arange(6 * fold, 6 * fold + 6)
        alone = ranks(matcher, features.of_images(rows))
        columns = np.flatnonzero(features.pairs.truth[rows].sum(axis=0))
        assert images[rows].tolist() == alone[0].tolist()
        assert texts[columns].tolist() == alone[1].tolist()


def test_words_stand_for_matchers_and_trainings(tmp_path):
    saved = tmp_path / "mine"
    saved.mkdir()
    systems = read_systems(
        [
            *("visita-small", str(saved), f"both={saved},visita-base"),
            *("train:scan,direction=t-i,first.topics=9", "train:mkl-visita,preset=paper"),
            "tuned=train:fusion,from=visita-small,epochs=2",
        ],
        seeds=2,
        seed=5,
    )
    assert [one.name for one in systems] == [
        *("visita-small", "mine", "both", "scan, direction=t-i, first.topics=9"),
        *("mkl-visita, preset=paper", "tuned"),
    ]
    small, mine, both, scan, paper, tuned = systems
    assert small.members == (Given("visita-small"),)
    assert mine.members == (Given(str(saved)),)
    assert both.members == (Given(str(saved)), Given("visita-base"))
    assert [*scan.runs] == [f"{scan.name}, seed 5", f"{scan.name}, seed 6"]
    first = scan.members[0]
    assert isinstance(first, Fresh)
    assert isinstance(first.config, BASELINES.load("scan"))
    assert (first.config.direction, first.config.first.topics, first.seed) == ("t-i", 9, 5)
    assert {type(one.config) for one in paper.members} == {MklVisitaPaperConfig}
    assert [(one.base, one.config) for one in tuned.members] == [
        ("visita-small", AdaptConfig(epochs=2, seed=seed)) for seed in (5, 6)
    ]


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        ([], ConfigError, "Name one matcher"),
        (["visita-small", "visita-small"], ConfigError, "other=visita-small"),
        (["train:cvca"], UnknownNameError, "Did you mean 'cca'"),
        (["train:cca,topic=3"], ConfigError, "Did you mean 'topics'"),
        (["train:cca,from=visita-small"], ConfigError, "Only fusion"),
    ],
)
def test_words_that_mean_nothing_are_refused(words, kind, said):
    with pytest.raises(kind, match=said):
        read_systems(words, 1, 0)


def test_nothing_but_failures_is_an_error(drawn_pairs, tmp_path):
    with pytest.raises(TrainingError, match="no-such/checkpoint"):
        compare([MISSING], drawn_pairs, tmp_path)


def test_the_front_is_what_nothing_beats_for_less():
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = {
            str(n): (float(cost), Estimate(float(good), 0, 0))
            for n, (cost, good) in enumerate(rng.integers(0, 6, (8, 2)))
        }
        front = Scatter("", "", "", "", points).front()
        for name, (cost, good) in points.items():
            beaten = any(
                c <= cost and g.value >= good.value and (c, g.value) != (cost, good.value)
                for c, g in points.values()
            )
            same = {n for n, (c, g) in points.items() if (c, g.value) == (cost, good.value)}
            assert (name in front) <= (not beaten)
            assert beaten or same & set(front)


def test_a_measurement_of_costs_needs_a_picture(given, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "fine.png")
    with pytest.raises(visita.VisitaError, match="none of the pictures"):
        measure(visita.load(given[0]), [broken], ["a dog"])
    found = measure(visita.load(given[0]), [broken, tmp_path / "fine.png"], ["a dog", ""])
    assert found["query_ms"] > 0
