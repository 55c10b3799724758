"""``visita robustness`` end to end on drawn pairs; what it measures against plain loops."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from commands import Done, run
from tiny import FUSION

import visita
from visita.data import PairSet
from visita.data.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from visita.data.decode import decode
from visita.data.identity import identities
from visita.errors import ConfigError, DataError, UnknownNameError
from visita.evaluation import FREQUENCIES
from visita.evaluation.measure import features_for
from visita.evaluation.ranks import mean_ranks
from visita.reports.robustness import ranks_of, robustness
from visita.reports.robustness_report import Condition, Subject, plan
from visita.store.pictures import RecipeEncoder
from visita.types import Matcher

pytestmark = [pytest.mark.slow, pytest.mark.campaign]

CELLS = 1 + len(CORRUPTIONS) * len(STRENGTHS)


def learn(pairs: PairSet, out: Path, recipe, seed: int = 0) -> Matcher:
    changed = {"image_levels": dict(recipe.levels), "epochs": 0, "seed": seed}
    config = FUSION.model_copy(update=changed)
    return visita.train(pairs, out, config=config).matcher


@pytest.fixture(scope="module")
def base(drawn_pairs, recipe, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "base"
    learn(drawn_pairs, folder, recipe)
    return folder


@pytest.fixture(scope="module")
def made(base, drawn_folder, tmp_path_factory) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("robust")
    return out, command(base, drawn_folder, out)


@pytest.fixture(scope="module")
def subject(base, drawn_pairs) -> Subject:
    matcher = visita.load(base)
    return Subject("base", "dev", matcher, features_for(matcher, drawn_pairs.take("dev"), None))


def command(matcher: Path, folder: Path, out: Path, *more: str) -> Done:
    return run("robustness", matcher, "--data", f"folder:{folder}", "--out", out, *more)


def with_rare_words(pairs: PairSet) -> PairSet:
    """Return the pairs with a word in each dev text that train has in 0, 1, 5, 50 or all texts."""
    train, dev = (np.flatnonzero(pairs.text_split == split) for split in ("train", "dev"))
    texts = [f"{text} everywhere" for text in pairs.texts]
    for count, word in ((1, "okapi"), (5, "tapir"), (50, "bongo")):
        for row in train[:count]:
            texts[row] += f" {word}"
    for row, word in zip(
        dev, ("quagga", "okapi", "tapir", "bongo", "everywhere") * 11, strict=False
    ):
        texts[row] = word
    return replace(pairs, texts=tuple(texts))


def naive_rank(scores: np.ndarray, true: np.ndarray) -> float:
    best = max(score for score, right in zip(scores, true, strict=True) if right)
    others = [score for score, right in zip(scores, true, strict=True) if not right]
    return 1 + sum(s > best for s in others) + sum(s == best for s in others) / 2


def test_the_command_writes_the_report_and_says_what_matters(made):
    out, done = made
    assert done.status == 0, done.err
    assert {path.name for path in out.iterdir()} == {
        *("cells", "report.html", "report.md", "report.json")
    }
    report = json.loads((out / "report.json").read_text("utf-8"))
    assert report["failed"] == []
    assert done.out.splitlines() == [*report["lead"], f"report: {out / 'report.html'}"]
    assert report["lead"][0].startswith("base: rsum ")
    # Drawn captions share a few words, so none is rare.
    assert done.err.endswith("there is no long tail.\n")
    figures = {figure["title"]: figure for figure in report["figures"]}
    assert list(figures) == [
        f"base on worse pictures: {way}, R@{cutoff}"
        for way in ("image to text", "text to image")
        for cutoff in (1, 10)
    ]
    for figure in figures.values():
        assert figure["points"] == ["0", "1", "2", "3", "4", "5"]
        assert list(figure["lines"]) == list(CORRUPTIONS)
        for line in figure["lines"].values():
            assert all(point["low"] <= point["value"] <= point["high"] for point in line)


def test_strength_0_is_what_evaluate_measures(made, base, drawn_pairs):
    figures = json.loads((made[0] / "report.json").read_text("utf-8"))["figures"]
    measured = visita.evaluate(base, drawn_pairs, split="dev", protocols=["retrieval"])
    recalls = measured["protocols"]["retrieval"]
    expected = [
        recalls[way][f"R@{cutoff}"]
        for way in ("image_to_text", "text_to_image")
        for cutoff in (1, 10)
    ]
    for figure, recall in zip(figures, expected, strict=True):
        assert [line[0] for line in figure["lines"].values()] == 4 * [recall]


def test_a_second_call_computes_what_is_missing_and_gives_the_same(made, base, drawn_folder):
    out, _ = made
    before = (out / "report.json").read_bytes()
    cells = sorted((out / "cells").glob("[!.]*"))
    assert len(cells) == CELLS
    for cell in cells[:3]:
        shutil.rmtree(cell)
    done = command(base, drawn_folder, out, "--json")
    assert f"{CELLS - 3} of {CELLS} cells were computed before" in done.err
    assert "cell 3/3" in done.err
    assert "pictures to read" not in done.err  # their features are in the cache
    assert done.json == json.loads(before)
    assert (out / "report.json").read_bytes() == before


def test_the_report_names_no_place_of_this_machine(made, base, drawn_folder):
    out, _ = made
    for name in ("report.html", "report.md", "report.json"):
        text = (out / name).read_text("utf-8")
        assert not any(str(place) in text for place in (out, drawn_folder, base))
    again = json.loads((out / "report.json").read_text("utf-8"))["command"]
    assert again == ("visita robustness base --data folder:PATH --out DIR --split dev --seed 0")


@pytest.mark.parametrize(("corruption", "strength"), [("noise", 1), ("occlusion", 5)])
def test_a_cell_ranks_corrupted_pictures_against_the_texts_as_they_are(
    subject, corruption, strength
):
    pairs, matcher = subject.features.pairs, subject.matcher
    pictures = [
        corrupt(decode(path), corruption, strength, sha256(path.read_bytes()).hexdigest())
        for path in pairs.image_paths
    ]
    columns = RecipeEncoder(matcher.recipe).encode_pictures(pictures)
    texts = matcher.embed_texts(matcher.open_text_encoder().encode(pairs.texts))
    scores, truth = matcher.embed_images(columns) @ texts.T, pairs.truth.toarray()
    found = ranks_of(Condition(subject, corruption, strength)).arrays
    # A score of another batch may differ in its last bit, and so may a rank where two tie.
    expected = [naive_rank(*row) for row in zip(scores, truth, strict=True)]
    assert np.mean(mean_ranks(found["images"]) == expected) > 0.9
    expected = [naive_rank(*row) for row in zip(scores.T, truth.T, strict=True)]
    assert np.mean(mean_ranks(found["texts"]) == expected) > 0.9


def test_no_two_conditions_share_a_cell(subject):
    conditions = plan([subject], [replace(subject, data="other", features=subject.features)])
    assert len({one.name for one in conditions}) == CELLS + 1
    settings = [json.dumps(one.cell().settings) for one in conditions]
    assert len(set(settings)) == CELLS  # the same pictures under another name are the same


def test_a_cell_of_other_pairs_or_features_is_another(subject):
    pairs, columns = subject.features.pairs, subject.features.columns
    fewer = pairs.truth.copy()
    fewer[0, np.flatnonzero(fewer[[0]].toarray()[0])[0]] = False
    fewer.eliminate_zeros()
    for changed in (
        replace(subject.features, columns={name: 2 * values for name, values in columns.items()}),
        replace(subject.features, pairs=replace(pairs, texts=("other", *pairs.texts[1:]))),
        replace(subject.features, pairs=replace(pairs, truth=fewer)),
    ):
        assert replace(subject, features=changed).fingerprint != subject.fingerprint


def test_texts_are_told_apart_by_their_rarest_word(base, drawn_pairs, tmp_path):
    report = robustness([base], with_rare_words(drawn_pairs), tmp_path).to_dict()
    [first, tenth] = [one for one in report["figures"] if one["title"].startswith("Long tail")]
    counts = zip(FREQUENCIES, (11, 11, 11, 11, 10), strict=True)
    points = [f"{name}\n({count} texts)" for name, count in counts]
    assert first["points"] == tenth["points"] == points
    for figure in (first, tenth):
        [line] = figure["lines"].values()
        assert len(line) == len(FREQUENCIES)
    assert "whose rarest word train has in none, 1–2, " in " ".join(report["lead"])
    [seen] = report["warnings"]
    assert "was chosen and calibrated on" in seen


def test_matchers_and_pairs_of_one_name_are_told_apart(base, drawn_pairs, recipe, tmp_path):
    other = learn(drawn_pairs, tmp_path / "other" / "base", recipe, seed=1)
    few = drawn_pairs.subset(np.arange(40))
    more = drawn_pairs.subset(np.arange(40, 120))
    report = robustness([base, other], drawn_pairs, tmp_path / "out", also=[few, more]).to_dict()
    names = [
        f"base {visita.load(one).fingerprint()[:6]}" for one in (base, tmp_path / "other/base")
    ]
    assert len(set(names)) == 2
    table, unseen = report["tables"]
    assert [row["name"] for row in table["rows"]] == names
    seen = other.seen.among(identities(few.image_paths))
    of_few = f"all of folder {few.fingerprint()[:6]}"
    said = f"On {of_few}, {names[1]} learnt from {seen.train.sum()} and was chosen"
    assert any(warning.startswith(said) for warning in report["warnings"])
    left = f"{names[1]}, {(~seen.any).sum()} pictures of {of_few}"
    assert left in [row["name"] for row in unseen["rows"]]
    groups = list(dict.fromkeys(column["group"] for column in table["columns"]))
    assert [one.rpartition(",")[0] for one in groups[::2]] == [
        "folder dev, 18 pictures",
        f"all of folder {few.fingerprint()[:6]}, 40 pictures",
        f"all of folder {more.fingerprint()[:6]}, 80 pictures",
    ]
    expected = visita.evaluate(other, few, split="all", protocols=["retrieval"])
    recalls = expected["protocols"]["retrieval"]
    assert table["rows"][1]["cells"][4] == recalls["image_to_text"]["R@1"]
    assert table["rows"][1]["cells"][7] == recalls["text_to_image"]["R@10"]
    assert len(report["figures"]) == 8


def test_what_cannot_be_measured_is_said_before_any_work(base, drawn_pairs, tmp_path):
    assert visita.robustness is robustness
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="one matcher or more"):
        robustness([], drawn_pairs, out)
    with pytest.raises(ConfigError, match="Measure on dev or on test"):
        robustness([base], drawn_pairs, out, split="train")
    with pytest.raises(ConfigError, match="The same matcher is given twice, as base and base"):
        robustness([base, base], drawn_pairs, out)
    with pytest.raises(ConfigError, match="The same pairs is given twice"):
        robustness([base], drawn_pairs, out, also=[drawn_pairs, drawn_pairs])
    with pytest.raises(UnknownNameError, match="neither a folder nor a shipped name"):
        robustness([tmp_path / "nothing"], drawn_pairs, out)
    for split in ("train", "dev"):
        without = drawn_pairs.subset(np.flatnonzero(drawn_pairs.image_split != split))
        with pytest.raises(DataError, match=f"no images in split '{split}'"):
            robustness([base], without, out)
    assert not out.exists()


def test_a_picture_that_went_away_is_named(subject, tmp_path, capfd):
    pairs = subject.features.pairs
    copies = [Path(shutil.copy(path, tmp_path)) for path in pairs.image_paths]
    moved = replace(pairs, image_paths=tuple(copies))
    here = replace(subject, features=replace(subject.features, pairs=moved))
    copies[3].unlink()
    with pytest.raises(DataError, match="can no longer be read"):
        here.columns("noise", 1)
    assert str(copies[3]) in capfd.readouterr().err
