"""``visita reproduce mkl-visita`` end to end on drawn pairs; its numbers against plain loops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_pretrained
from commands import Done, run
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

import visita
from visita.data.augment import RULES
from visita.data.pairs import held_out
from visita.errors import ConfigError, UnknownNameError
from visita.evaluation import measure_ranks
from visita.evaluation.pairs import DRAWS
from visita.evaluation.ranks import mean_ranks
from visita.evaluation.rerank import WEIGHTS
from visita.matchers.rerank import DEPTH
from visita.papers.mkl_visita import (
    ABLATION_EPOCHS,
    EPOCHS,
    MklVisitaOutcomes,
    Plan,
    augmented,
    compute,
    join,
    joinable,
    plan,
)
from visita.papers.mkl_visita_bench import DEV, TEST, TRAIN, MklVisitaBench, make_bench
from visita.papers.mkl_visita_claims import (
    BOTH,
    FIRST,
    FUSION,
    MATCH_ERROR,
    NO_ATTENTION,
    NO_HIERARCHY,
    NO_TRANSFORMER,
    ONE_CNN_LEVEL,
    PAPER_RNN,
    PAPER_TRANSFORMER,
    RECURRENT,
    REFERENCE,
    REFITTED,
    SECOND,
    TABLED,
    TRANSFORMER,
    UNSCALED,
    claims,
)
from visita.papers.reproduce import reproduce, two_stages
from visita.reports.cells import Result
from visita.reports.outcomes import PAIR_METRICS
from visita.training.config import FusionConfig, PaperConfig
from visita.training.cross_modal import all_scores, train_cross_modal
from visita.training.mkl_config import CrossModalConfig, MklVisitaConfig, PaperCrossModalConfig

pytestmark = [pytest.mark.slow, pytest.mark.campaign]

LEVELS = {"efficientnet-lite0": ("block10:avg", "head:avg")}
GRIDS = {"efficientnet-lite0": ("block11:5x5", "block15:5x5")}
FIRST_CONFIG = FusionConfig(
    image_levels=LEVELS,
    mirror=False,
    text_levels=("layer3", "layer6"),
    class_names_weight=0,
    dim=32,
    fusion_dim=32,
    hidden=16,
    epochs=1,
)
SECOND_CONFIG = CrossModalConfig(
    image_levels=GRIDS, text_levels=("layer6",), width=16, dim=8, heads=2, batch=32, epochs=1
)
CONFIG = MklVisitaConfig(first=FIRST_CONFIG, second=SECOND_CONFIG)
ABLATIONS = (
    *(NO_TRANSFORMER, NO_ATTENTION, NO_HIERARCHY, ONE_CNN_LEVEL),
    *("linear alone", "polynomial:3 alone", "rbf:2 alone", "laplacian:1 alone"),
    *(REFITTED, RECURRENT, TRANSFORMER, MATCH_ERROR),
)
AS_PRINTED = (PAPER_RNN, PAPER_TRANSFORMER)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return tiny_pretrained.clip(tmp_path_factory.mktemp("pretrained") / "tiny")


@pytest.fixture(scope="module")
def made(drawn_folder, checkpoint, tmp_path_factory) -> tuple[Path, Done]:
    """Run the command once, with one seed."""
    out = tmp_path_factory.mktemp("mkl-visita")
    words = ["reproduce", "mkl-visita", "--data", f"folder:{drawn_folder}", "--out", str(out)]
    words += ["--seeds", "1", "--paper-epochs", "1", "--also", f"clip:{checkpoint}"]
    for stage in ("first", "second"):
        changed = getattr(CONFIG, stage).model_dump(mode="json", exclude_defaults=True)
        words += ["--set", f"{stage}={json.dumps(changed)}"]
    return out, run(*words)


@pytest.fixture(scope="module")
def bench(drawn_pairs) -> MklVisitaBench:
    return make_bench(drawn_pairs, "dev", CONFIG, (), None)


@pytest.fixture(scope="module")
def planned() -> Plan:
    return plan(CONFIG, 2, 1, 1, [NO_TRANSFORMER])


@pytest.fixture(scope="module")
def results(bench, planned) -> dict[str, Result]:
    cells = {cell.name: cell for name, some in planned.items() if name != BOTH for cell in some}
    trained = {name: compute(cell, bench) for name, cell in cells.items()}
    return {**trained, **{cell.name: join(cell, bench, trained) for cell in planned[BOTH]}}


def test_the_command_writes_the_report_and_prints_every_verdict(made):
    out, done = made
    assert done.status == 0, done.err
    assert {path.name for path in out.iterdir()} == {
        *("cells", "report.html", "report.md", "report.json")
    }
    report = json.loads((out / "report.json").read_text("utf-8"))
    kernels = SECOND_CONFIG.kernels
    assert [one["id"] for one in report["claims"]] == [
        one.id for one in claims("", kernels, ["clip:tiny"])
    ]
    for one in report["claims"]:
        assert f"{one['outcome']}: {one['claim']} (" in done.out
    unmeasured = {one["id"] for one in report["claims"] if one["outcome"] == "not measured"}
    assert unmeasured == {
        *("blip", "albef"),
        "both-fusion",  # with one encoder it is the first stage
    }
    assert done.out.endswith(f"report: {out / 'report.html'}\n")
    assert report["failed"] == []
    # Drawn pictures may look like others that were learnt from, which has a table of its own.
    tables = [table for table in report["tables"] if "seen" not in table["title"]]
    assert [table["title"] for table in tables] == [
        "Tables 1 and 2: does this text belong to this picture?",
        "Retrieval",
        "Ablations of the second stage",
        "Kernel weights",
    ]
    assert [row["name"] for row in tables[0]["rows"]] == [
        *(one for one in TABLED if one != FUSION),
        "clip:tiny",
    ]
    assert [row["name"] for row in tables[2]["rows"]] == [REFERENCE, *ABLATIONS]
    assert [one["title"] for one in report["examples"]] == ["Best answers", "Worst answers"]


def test_what_the_paper_compares_with_is_a_row_and_a_claim(made, checkpoint, drawn_pairs):
    report = json.loads((made[0] / "report.json").read_text("utf-8"))
    matcher = visita.load(f"clip:{checkpoint}")
    pairs = held_out(drawn_pairs, "dev", CONFIG.seed)
    found = visita.evaluate(matcher, pairs, split="test", seed=CONFIG.seed)["protocols"]
    rows = [
        next(row["cells"] for row in table["rows"] if row["name"] == "clip:tiny")
        for table in report["tables"][:2]
    ]
    told = [one["value"] for one in rows[0]]
    names = ("recall", "precision", "F1", "mAP")
    assert told == pytest.approx([found["pairs"][name]["value"] for name in names])
    assert rows[1][-1]["value"] == pytest.approx(found["retrieval"]["rsum"]["value"])
    [claim] = [one for one in report["claims"] if one["id"] == "clip:tiny"]
    both = next(r["cells"] for r in report["tables"][0]["rows"] if r["name"] == BOTH)
    reached = dict(zip(names, both, strict=True))
    for one, mine in zip(claim["differences"], ("recall", "precision", "mAP"), strict=True):
        gap = reached[mine]["value"] - found["pairs"][mine]["value"]
        assert one["value"] == pytest.approx(gap)
    assert "--also clip:tiny" in report["command"]


def test_the_report_shows_the_paper_s_rows_and_names_no_place_of_this_machine(made, drawn_folder):
    out, _ = made
    for name in ("report.html", "report.md", "report.json"):
        text = (out / name).read_text("utf-8")
        assert "96.32 / 90.36 / 94.81 against 91.26 / 88.21 / 92.11" in text
        assert str(drawn_folder) not in text
        assert str(out) not in text
    again = json.loads((out / "report.json").read_text("utf-8"))["command"]
    assert again.startswith("visita reproduce mkl-visita --data folder:PATH --out DIR --split dev ")
    assert "--ablation-seeds 1" in again


def test_a_second_call_computes_nothing_and_says_the_same(made, checkpoint, drawn_pairs, capfd):
    out, _ = made
    before = (out / "report.json").read_bytes()
    others = [f"clip:{checkpoint}"]
    reproduce("mkl-visita", drawn_pairs, out, config=CONFIG, seeds=1, paper_epochs=1, others=others)
    said = capfd.readouterr().err
    assert "17 of 17 cells were computed before" in said
    assert "1 of 1 cells were computed before" in said
    assert "epoch 1" not in said
    assert (out / "report.json").read_bytes() == before


def test_the_plan_is_every_system_and_ablation_for_every_seed():
    config = MklVisitaConfig(seed=3)
    found = plan(config, 5, 2, 7, None)
    main = (FUSION, FIRST, SECOND, BOTH)
    assert set(found) == {*main, UNSCALED, REFERENCE, *ABLATIONS, *AS_PRINTED}
    assert all(len(cells) == (5 if name in main else 2) for name, cells in found.items())
    assert [cell.name for cell in found[SECOND]][:2] == [
        "second stage, seed 3",
        *["second stage, seed 4"],
    ]
    names = [cell.name for cells in found.values() for cell in cells]
    assert len(set(names)) == len(names)

    def settings(name: str) -> dict:
        return found[name][0].settings["config"]

    fusion = FusionConfig(hidden=768, seed=3).model_dump(mode="json")
    assert settings(FUSION) == fusion
    first, second = (one.model_dump(mode="json") for one in config.stages())
    assert (settings(FIRST), settings(SECOND)) == (first, second)
    assert settings(UNSCALED) == {**first, "neighbours": 0}
    assert settings(REFERENCE) == {**second, "epochs": ABLATION_EPOCHS}
    for name in ABLATIONS:
        changed = {
            key for key, value in settings(name).items() if value != settings(REFERENCE)[key]
        }
        assert len(changed) == 1, name
    for name, side in zip(AS_PRINTED, ("recurrent", "transformer"), strict=True):
        paper = PaperCrossModalConfig(text_side=side, epochs=7, seed=3)
        assert settings(name) == paper.model_dump(mode="json")
    assert {one.text_side for one in augmented(found)} == {"recurrent", "transformer"}
    assert all(one.views == paper.views for one in augmented(found))
    assert two_stages() == MklVisitaConfig(second=CrossModalConfig(epochs=EPOCHS))
    assert two_stages(["seed=3"]).seed == 3


def test_views_are_extracted_before_any_cell_needs_them(drawn_pairs, tmp_path):
    levels = {"colours": ("whole",)}
    paper = PaperCrossModalConfig.of({"image_levels": levels, "views": ("flip", "ricap")})
    few = drawn_pairs.subset(np.arange(0, 120, 4))
    make_bench(few, "dev", CONFIG, [paper], tmp_path)
    stores = [json.loads(path.read_text("utf-8")) for path in tmp_path.rglob("store.json")]
    viewed = {store["facts"]["view"] for store in stores if "view" in store["facts"]}
    assert viewed == {f"{RULES}/flip", f"{RULES}/ricap"}


def test_what_is_trained_alike_is_trained_once_and_what_changes_nothing_is_no_ablation():
    found = plan(CONFIG, 2, 3, 1, None)
    names = [cell.name for cell in found[REFERENCE]]
    assert names == ["second stage, seed 0", "second stage, seed 1", f"{REFERENCE}, seed 2"]
    without = MklVisitaConfig(
        first=FusionConfig(neighbours=0), second=CrossModalConfig(depth=0, kernels=("rbf:2",))
    )
    assert not {UNSCALED, NO_TRANSFORMER, "rbf:2 alone"} & set(plan(without, 1, 1, 1, None))
    with pytest.raises(UnknownNameError, match="Did you mean 'no hierarchy: words alone'"):
        plan(CONFIG, 1, 1, 1, ["no hierarchy: word alone"])


def test_the_second_stage_is_scored_as_when_it_is_trained_directly(bench, planned, results):
    config = SECOND_CONFIG
    some = bench.validated(config)
    network, _ = train_cross_modal(
        bench.cross(TRAIN, config), some, lambda scores: naive_rsum(scores, some.truth), config
    )
    kept = results[planned[SECOND][0].name].arrays
    for part in (DEV, TEST):
        assert np.array_equal(kept[part], all_scores(network, bench.cross(part, config)))


def naive_ranks(scores: np.ndarray, truth: np.ndarray) -> list[float]:
    found = []
    for row, true in zip(scores.tolist(), truth, strict=True):
        best = max(score for score, right in zip(row, true, strict=True) if right)
        others = [score for score, right in zip(row, true, strict=True) if not right]
        found.append(1 + sum(s > best for s in others) + sum(s == best for s in others) / 2)
    return found


def naive_rsum(scores: np.ndarray, truth) -> float:
    dense = truth.toarray()
    ways = naive_ranks(scores, dense), naive_ranks(scores.T, dense.T)
    return sum(100 * np.mean(np.array(one) <= k) for one in ways for k in (1, 5, 10))


def naive_both(first: np.ndarray, second: np.ndarray, weight: float) -> np.ndarray:
    """Score each row's ``DEPTH`` first items by both; the others follow in their order."""
    both = (1 - np.float32(weight)) * first + np.float32(weight) * second
    scores = first - 100
    for row, items in enumerate(np.argsort(-first, axis=1, kind="stable")[:, :DEPTH]):
        scores[row, items] = both[row, items]
    return scores


def test_ranks_and_pairs_are_those_of_plain_loops(bench, planned, results):
    for system in (FIRST, SECOND):
        result = results[planned[system][1].name]
        scores, truth = result.arrays[TEST], bench.truth[TEST].toarray()
        assert mean_ranks(result.arrays["images"]).tolist() == naive_ranks(scores, truth)
        assert mean_ranks(result.arrays["texts"]).tolist() == naive_ranks(scores.T, truth.T)
        assert result.facts["rsum"] == pytest.approx(naive_rsum(scores, bench.truth[TEST]))
        drawn = bench.drawn[TEST]
        labels = [bool(truth[i, t]) for i, t in zip(drawn.images, drawn.texts, strict=True)]
        assert result.arrays["labels"].tolist() == labels
        values = np.array([scores[i, t] for i, t in zip(drawn.images, drawn.texts, strict=True)])
        draws = [drawn.labels | (drawn.draws == draw) for draw in range(DRAWS)]
        expected = [
            naive_pair_metrics(values[rows], drawn.labels[rows], result.facts["threshold"])
            for rows in draws
        ]
        for name in PAIR_METRICS:
            mean = np.mean([of_draw[name] for of_draw in expected])
            assert result.facts[name] == pytest.approx(100 * mean), name


def naive_pair_metrics(values, labels, threshold) -> dict[str, float]:
    """Return what scikit-learn says of pairs that count as matches from ``threshold`` on."""
    called = values >= threshold
    precisions = average_precision_score(labels, values), average_precision_score(~labels, -values)
    return {
        "recall": recall_score(labels, called),
        "precision": precision_score(labels, called, zero_division=0),
        "F1": f1_score(labels, called),
        "mAP": np.mean(precisions),
    }


def test_the_threshold_is_the_best_on_the_pictures_that_choose(bench, planned, results):
    result = results[planned[SECOND][0].name]
    drawn = bench.drawn[DEV]
    values = result.arrays[DEV][drawn.images, drawn.texts]
    reached = f1_score(drawn.labels, values >= result.facts["threshold"])
    assert reached == max(f1_score(drawn.labels, values >= one) for one in values)


def test_both_stages_order_the_first_ones_of_the_first(bench, planned, results):
    first, second = (results[planned[one][0].name].arrays for one in (FIRST, SECOND))
    result = results[planned[BOTH][0].name]
    truth = {part: bench.truth[part].toarray() for part in (DEV, TEST)}

    def ranks(part: str, weight: float) -> tuple[list[float], list[float]]:
        a, b = first[part], second[part]
        return (
            naive_ranks(naive_both(a, b, weight), truth[part]),
            naive_ranks(naive_both(a.T, b.T, weight), truth[part].T),
        )

    reached = [
        sum(100 * np.mean(np.array(one) <= k) for one in ranks(DEV, weight) for k in (1, 5, 10))
        for weight in WEIGHTS
    ]
    assert result.facts["weight"] == WEIGHTS[int(np.argmax(np.round(reached, 6)))]
    images, texts = ranks(TEST, result.facts["weight"])
    for side, expected in (("images", images), ("texts", texts)):
        assert mean_ranks(result.arrays[side]).tolist() == expected
    found = result.arrays["found"][:, 0]
    right = truth[TEST][found, np.arange(len(found))]
    assert np.array_equal(right, mean_ranks(result.arrays["texts"]) == 1)


def test_outcomes_are_means_over_seeds_and_differences_are_paired(bench, planned, results):
    outcomes = MklVisitaOutcomes.of_plan(bench, planned, results)
    runs = outcomes.of(SECOND)
    assert len(runs) == 2
    found = outcomes.estimates(SECOND)
    for name in ("recall", "precision", "F1", "mAP", "text_to_image R@5", "rsum"):
        assert found[name].value == pytest.approx(np.mean([run.facts[name] for run in runs]))
    ranks = [np.stack([run.arrays[side] for run in runs]) for side in ("images", "texts")]
    measured = measure_ranks(*ranks, bench.groups, seed=CONFIG.seed)
    assert found["rsum"] == measured.rsum
    once = np.ones((1, bench.groups.count))
    for name in ("recall", "image_to_text R@1", "rsum"):
        assert outcomes.statistic(SECOND, name)(once).item() == pytest.approx(found[name].value)
    [one], [reference] = outcomes.of(NO_TRANSFORMER), outcomes.of(REFERENCE)
    gap = outcomes.differences(NO_TRANSFORMER, REFERENCE)
    for name in ("precision", "rsum"):
        assert gap[name].value == pytest.approx(one.facts[name] - reference.facts[name])
    some = {name: result for name, result in results.items() if name != "second stage, seed 1"}
    incomplete = MklVisitaOutcomes.of_plan(bench, planned, some)
    assert incomplete.measured([FUSION, FIRST, SECOND, REFERENCE]) == [FIRST, REFERENCE]
    assert [cell.name for cell in joinable(planned, some)] == ["both stages, seed 0"]
    with pytest.raises(KeyError):
        incomplete.statistic(SECOND, "rsum")


def test_a_cell_that_fails_is_reported_and_the_others_go_on(drawn_pairs, tmp_path):
    second = SECOND_CONFIG.model_copy(update={"learning_rate": 1e30})  # the paper has its own
    report = reproduce(
        "mkl-visita",
        drawn_pairs,
        tmp_path,
        config=CONFIG.model_copy(update={"second": second}),
        seeds=1,
        paper_epochs=1,
        ablations=[NO_TRANSFORMER, PAPER_RNN],
    )
    assert [one.item for one in report.failed] == [
        *("second stage, seed 0", "no visual transformer, seed 0")
    ]
    assert all("no longer a number" in one.reason for one in report.failed)
    assert {one.outcome for one in report.verdicts} == {"not measured"}
    shown = json.loads((tmp_path / "report.json").read_text("utf-8"))
    rows = {row["name"]: row["cells"] for row in shown["tables"][0]["rows"]}
    assert all(rows[FIRST] + rows[PAPER_RNN])
    assert not any(rows[SECOND] + rows[BOTH])


def test_what_cannot_be_reproduced_is_refused_with_what_to_do(drawn_pairs, tmp_path):
    with pytest.raises(ConfigError, match="is set up by a MklVisitaConfig, not by a PaperConfig"):
        reproduce("mkl-visita", drawn_pairs, tmp_path, config=PaperConfig())
    with pytest.raises(ConfigError, match="is set up by a PaperConfig, not by a MklVisitaConfig"):
        reproduce("fusion", drawn_pairs, tmp_path, config=CONFIG)
    with pytest.raises(ConfigError, match="seeds is a whole number of at least 1"):
        reproduce("mkl-visita", drawn_pairs, tmp_path, config=CONFIG, ablation_seeds=0)
    with pytest.raises(ConfigError, match="Measure on dev or on test"):
        reproduce("mkl-visita", drawn_pairs, tmp_path, config=CONFIG, split="train")
    coarse = SECOND_CONFIG.model_copy(update={"image_levels": LEVELS})
    with pytest.raises(ConfigError, match="has no cells"):
        config = CONFIG.model_copy(update={"second": coarse})
        reproduce("mkl-visita", drawn_pairs, tmp_path, config=config)
    with pytest.raises(UnknownNameError, match="No ablation is called"):
        reproduce("mkl-visita", drawn_pairs, tmp_path, config=CONFIG, ablations=["none"])
    assert not list(tmp_path.iterdir())
