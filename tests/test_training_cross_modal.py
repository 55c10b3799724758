"""MKL-VisITA trained on drawn pairs: it learns, repeats itself, and survives a kill."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import VISITA, Done, run
from scipy import sparse

import visita
from visita.data import decode
from visita.errors import ConfigError, MismatchError, UnknownNameError
from visita.matchers.rerank import RerankedMatcher
from visita.matchers.whole import WholeMatcher
from visita.networks.cross_modal import MklVisita
from visita.testing import check_matcher
from visita.training.batches import labelled_pairs, labels_of
from visita.training.cross_modal import all_scores, check_cross_modal, train_cross_modal
from visita.training.grids import CrossTensors, GridView
from visita.training.loop import History
from visita.training.mkl_config import (
    CrossModalConfig,
    MklVisitaConfig,
    MklVisitaPaperConfig,
    PaperCrossModalConfig,
)
from visita.training.train import warnings_of
from visita.types import FloatArray, Tokens

pytestmark = pytest.mark.slow

GRIDS = {"efficientnet-lite0": ("block11:5x5", "block15:5x5")}
TINY = {"image_levels": GRIDS, "width": 32, "dim": 16, "heads": 2}
PAPER = {"second": {**TINY, "views": ("flip", "ricap"), "epochs": 2, "learning_rate": 0.5}}
"""The paper's preset on few pictures: its own rate is for thousands of steps."""
CLASSES, CELLS, FEATURES, WIDTH = 6, 9, 8, 5


def config(**changes: Any) -> CrossModalConfig:
    return CrossModalConfig.of(
        {**TINY, "epochs": 4, "batch": 12, "learning_rate": 3e-3, "depth": 1, **changes}
    )


def made_up(images: int, seed: int, *, words: bool = False) -> CrossTensors:
    """Return pictures with two of a few things in their cells, and two texts that name them."""
    rng = np.random.default_rng(seed)
    things = np.random.default_rng(99).normal(size=(CLASSES, FEATURES))
    names = np.random.default_rng(98).normal(size=(CLASSES, WIDTH))
    shown = np.array([rng.choice(CLASSES, 2, replace=False) for _ in range(images)])
    grids = rng.normal(0, 0.3, (images, CELLS, FEATURES))
    for row, pair in enumerate(shown):
        for thing, cell in zip(pair, rng.choice(CELLS, 2, replace=False), strict=True):
            grids[row, cell] += 2 * things[thing]
    said = np.repeat(shown, 2, axis=0)
    said[1::2] = said[1::2, ::-1]
    offsets = np.arange(0, 2 * len(said) + 1, 2, dtype=np.int64)
    numbers = said.ravel()
    vectors = (names[numbers] + rng.normal(0, 0.1, (len(numbers), WIDTH))).astype(np.float16)
    truth = np.array([[set(a) == set(b) for b in said] for a in shown])
    tokens = Tokens(offsets, numbers + 2 if words else vectors)
    return CrossTensors(grids.astype(np.float16), tokens, sparse.csr_array(truth))


@pytest.fixture(scope="module")
def train() -> CrossTensors:
    return made_up(60, seed=0)


@pytest.fixture(scope="module")
def dev() -> CrossTensors:
    return made_up(24, seed=1)


def hits_of(pairs: CrossTensors):
    """Return a validation: how many texts have a true picture first, in percent."""
    dense = pairs.truth.toarray()

    def validate(scores: FloatArray) -> float:
        return 100 * float(dense[scores.argmax(0), np.arange(dense.shape[1])].mean())

    return validate


def trained(train: CrossTensors, dev: CrossTensors, **changes: Any) -> tuple[MklVisita, History]:
    return train_cross_modal(train, dev, hits_of(dev), config(**changes))


def test_it_learns_and_leaves_the_best_epoch(train, dev):
    network, history = trained(train, dev, epochs=8, patience=8)
    # By chance a text finds one of 24 pictures; about one in fifteen shows the same two things.
    assert history.start < 30 and history.best() > history.start + 30
    assert hits_of(dev)(all_scores(network, dev)) == history.best()
    assert history.epochs[-1].loss < 0.8 * history.epochs[0].loss
    assert warnings_of(history) == []


def test_the_papers_loss_learns_too(train, dev):
    network, history = trained(train, dev, loss="match-error", epochs=12, patience=12, batch=32)
    assert history.best() > history.start + 20
    assert history.epochs[0].chance == pytest.approx(0.25, abs=0.02)
    scores = torch.from_numpy(all_scores(network, dev))
    with torch.inference_mode():
        found = network.probability(scores).numpy()
    truth = dev.truth.toarray()
    assert found[truth].mean() > found[~truth].mean() + 0.2


def test_the_same_seed_gives_the_same_bits_and_another_does_not(train, dev):
    for loss in ("info-nce", "match-error"):
        one, same, other = (
            trained(train, dev, epochs=1, patience=1, seed=seed, loss=loss)[0].state_dict()
            for seed in (1, 1, 2)
        )
        assert all(torch.equal(one[name], same[name]) for name in one)
        assert not torch.equal(one["see.fuse.1.weight"], other["see.fuse.1.weight"])


def test_the_papers_loss_is_that_of_its_pairs(train, dev):
    """The first epoch's mean loss, recomputed pair by pair, without dropout and steps."""
    views = (GridView(train.grids[::-1].copy(), _turned(len(train.grids))),)
    seen = replace(train, views=views)
    still = {"dropout": 0, "input_dropout": 0, "learning_rate": 1e-30, "averaging": 0, "epochs": 1}
    settings = config(loss="match-error", optimizer="sgd", **still, batch=16)
    network, history = train_cross_modal(seen, dev, lambda _: 0.0, settings)
    labels = labels_of(train.truth, [views[0].made_of])
    rng = np.random.default_rng(settings.seed)
    losses = []
    for batch in labelled_pairs(labels, 60, settings.texts_per_image, 16, rng):
        errors = []
        for row, text, label in zip(batch.views, batch.texts, batch.labels, strict=True):
            grids = (train.grids, views[0].grids)[row // 60][row % 60][None].astype(np.float32)
            values, mask = train.tokens.padded(np.array([text]))
            with torch.inference_mode():
                score = network.score(
                    network.image(torch.from_numpy(grids)),
                    network.text(torch.from_numpy(values), torch.from_numpy(mask)),
                )
                errors.append((network.probability(score).item() - label) ** 2)
        losses.append(np.mean(errors))
    assert history.epochs[0].loss == pytest.approx(float(np.mean(losses)), rel=1e-4)


def _turned(n: int) -> sparse.csr_array:
    return sparse.csr_array(np.eye(n, dtype=np.float32)[::-1])


def test_views_of_other_pictures_would_teach_nothing(train, dev):
    """Views are looked at: with those of wrong pictures in their place less is learnt."""
    wrong = replace(
        train,
        views=tuple(
            GridView(np.roll(train.grids, shift, 0), sparse.eye_array(60, format="csr"))
            for shift in (7, 13, 29)
        ),
    )
    right = replace(
        train, views=tuple(GridView(train.grids, sparse.eye_array(60, format="csr")) for _ in "abc")
    )
    for loss in ("info-nce", "match-error"):
        found = [trained(one, dev, loss=loss, epochs=3, patience=3)[1] for one in (right, wrong)]
        assert found[0].epochs[-1].loss < found[1].epochs[-1].loss


def test_a_run_that_collapses_is_named(train, dev):
    _, history = trained(train, dev, learning_rate=30, averaging=0, epochs=2)
    assert re.match("Training collapsed: the loss .* is that of guessing", warnings_of(history)[0])


ABLATIONS = {
    "no visual transformer": {"depth": 0},
    "no cross-modal attention": {"levels": ("whole",)},
    "no hierarchy": {"levels": ("words",)},
    **{f"{k} alone": {"kernels": (k,)} for k in ("linear", "polynomial:3", "rbf:2", "laplacian:1")},
    "match-error": {"loss": "match-error"},
    "sgd": {"optimizer": "sgd", "plateau": 1},
    "bfloat16": {"precision": "bfloat16"},
    "bfloat16, match-error": {"precision": "bfloat16", "loss": "match-error"},
}


@pytest.mark.parametrize("changes", ABLATIONS.values(), ids=ABLATIONS)
def test_each_part_can_be_left_out(train, dev, changes):
    few = CrossTensors(train.grids[:12], _first(train.tokens, 24), train.truth[:12][:, :24])
    network, history = trained(few, dev, epochs=1, **changes)
    assert len(history.epochs) == 1 and np.isfinite(history.epochs[0].loss)
    assert np.isfinite(all_scores(network, dev)).all()


def _first(tokens: Tokens, count: int) -> Tokens:
    return Tokens(tokens.offsets[: count + 1], tokens.values[: tokens.offsets[count]])


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"levels": ("word",)}, ConfigError, "Choose levels among words, phrases"),
        ({"kernels": ("rbg:1",)}, ConfigError, "'rbg:1' is no kernel"),
        ({"heads": 5}, ConfigError, "cannot be shared by heads=5"),
        ({"image_levels": {"efficientnet-lite0": ("head:avg",)}}, ConfigError, "has no cells"),
        (
            {"image_levels": {"efficientnet-lite0": ("block15:5x5", "block15:grid")}},
            ConfigError,
            "different numbers of cells",
        ),
        ({"image_levels": {"efficientnet-lite0": ("block99:5x5",)}}, UnknownNameError, "no level"),
        ({"image_levels": {"efficientnet": ("block15:5x5",)}}, UnknownNameError, "Did you mean"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_long_work(
    drawn_pairs, tmp_path, changes, error, message
):
    with pytest.raises(error, match=message):
        check_cross_modal(config(**changes))
    whole = MklVisitaConfig(second=config(**changes))
    with pytest.raises(error, match=message):
        visita.train(drawn_pairs, tmp_path / "out", config=whole)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="torch finds no GPU: set device=cpu"):
        check_cross_modal(config(device="cuda"))


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="ricap view belongs to several pictures"):
        CrossModalConfig.of({"views": ("crop", "ricap")})
    with pytest.raises(ConfigError, match=r"second\.levels needs whole"):
        MklVisitaPaperConfig.of({"second": {"levels": ["words"]}})
    with pytest.raises(ConfigError, match=r"Unknown setting 'epoch'\. Did you mean 'epochs'"):
        MklVisitaConfig.read(None, ["second.epoch=3"])
    with pytest.raises(ConfigError, match="Unknown setting 'first'"):
        MklVisitaPaperConfig.read(None, ["first.epochs=3"])
    with pytest.raises(ConfigError, match=r"seed is set to 3, so that there is no seed\.x"):
        MklVisitaConfig.read(None, ["seed=3", "seed.x=3"])


def test_settings_of_a_stage_leave_its_others_as_they_were(tmp_path):
    path = tmp_path / "train.toml"
    path.write_text("seed = 5\n[first]\nepochs = 2\n[second]\nbatch = 8\n", "utf-8")
    found = MklVisitaConfig.read(path, ["first.epochs=3", 'second.views=["crop"]'])
    base = MklVisitaConfig()
    assert found.first == base.first.model_copy(update={"epochs": 3})
    assert found.second == base.second.model_copy(update={"batch": 8, "views": ("crop",)})
    assert [stage.seed for stage in found.stages()] == [5, 5]
    assert MklVisitaConfig.of(found.model_dump(mode="json")) == found


def test_the_paper_preset_has_the_papers_values():
    second = MklVisitaPaperConfig().second
    assert isinstance(second, PaperCrossModalConfig)
    found = (second.optimizer, second.learning_rate, second.batch, second.epochs, second.loss)
    assert found == ("sgd", 0.001, 64, 100, "match-error")
    assert set(second.views) == {"crop", "flip", "crop-flip", "ricap"} and second.plateau > 0
    assert second.text_side in ("recurrent", "transformer") and second.weight_decay == 0


def words_of(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as the command line takes them."""
    return [word for k, v in settings.items() for word in ("--set", f"{k}={json.dumps(v)}")]


@pytest.fixture(scope="module")
def paper(drawn_folder, tmp_path_factory) -> Done:
    """Return what the command says of the paper's preset on the drawn pairs."""
    out = tmp_path_factory.mktemp("paper") / "paper"
    line = ("train", "mkl-visita", "--data", f"folder:{drawn_folder}", "--out", out)
    done = run(*line, "--preset", "paper", *words_of(PAPER), "--json")
    assert done.status == 0, done.err
    return done


@pytest.fixture(scope="module")
def whole(paper) -> RerankedMatcher:
    return visita.load(paper.json["folder"])


def test_the_paper_preset_trains_one_network_for_both_stages(paper, whole, drawn_pairs):
    assert isinstance(whole.first, WholeMatcher)
    assert whole.first.packer.fingerprint() == whole.reranker.fingerprint()
    assert MklVisitaPaperConfig.of(whole.facts["config"]) == MklVisitaPaperConfig.of(PAPER)
    assert paper.json["fingerprint"] == whole.fingerprint()
    assert whole.facts["dev_rsum"][-1] > whole.facts["dev_rsum"][0]
    report = visita.evaluate(whole, drawn_pairs, split="dev")
    assert report["protocols"] == paper.json["dev"]["protocols"]
    assert set(report["protocols"]) == {"retrieval", "first stage", "pairs"}
    assert {path.name for path in Path(paper.json["folder"]).iterdir()} == {
        *("manifest.json", "curve.png", "seen.safetensors", "first", "second")
    }


def test_what_the_paper_preset_makes_keeps_the_contracts(whole, drawn_pairs):
    finder = visita.Finder(whole)
    pictures = [decode(path) for path in drawn_pairs.image_paths[:4]]
    texts = finder.texts.encode(["a red circle", "a blue star on white", "two squares"])
    check_matcher(whole, finder.pictures.encode_pictures(pictures), texts)


def test_the_vocabulary_is_of_the_training_texts_alone(whole, drawn_pairs):
    train = " ".join(drawn_pairs.take("train").texts).split()
    assert set(whole.reranker.vocabulary.words) == {w for w in train if train.count(w) > 1}


def test_an_unknown_preset_is_refused(drawn_folder, tmp_path):
    line = ("train", "mkl-visita", "--data", f"folder:{drawn_folder}", "--out", tmp_path / "out")
    wrong = run(*line, "--preset", "papre")
    assert wrong.status == 2 and "Did you mean 'paper'?" in wrong.err


def kill_when(line: str, command: list[str]) -> list[str]:
    """Run a program, kill it as soon as it says ``line`` on stderr, and return what it said."""
    said = []
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, encoding="utf-8"
    ) as p:
        assert p.stderr
        for one in p.stderr:
            said.append(one)
            if one.startswith(line):
                p.send_signal(signal.SIGKILL)
                break
        said += p.stderr
    assert p.returncode == -signal.SIGKILL, "it ended before it was killed: " + "".join(said)
    return said


DEFAULT = {
    "first": {
        "image_levels": {"colours": ("whole", "centre")},
        "mirror": False,
        "text_levels": ("layer3", "layer6"),
        "class_names_weight": 0,
        "keywords_per_image": 0,
        **{"dim": 32, "fusion_dim": 32, "hidden": 32, "epochs": 1},
    },
    "second": {**TINY, "epochs": 4, "batch": 16, "text_side": "transformer", "text_depth": 1},
}


@pytest.fixture(scope="module")
def both(named_folder, tmp_path_factory) -> visita.Trained:
    """Return what small default settings make of these pairs, trained without a break."""
    out = tmp_path_factory.mktemp("default") / "both"
    return visita.train(f"folder:{named_folder}", out, config=MklVisitaConfig.of(DEFAULT))


def test_the_default_preset_trains_both_stages(both, named_folder):
    assert both.matcher.first.text_encoder == "minilm-l6"
    assert both.matcher.reranker.network["text"]["side"] == "transformer"
    assert visita.load(both.folder).fingerprint() == both.matcher.fingerprint()
    # The probability of single words is of the scores of both stages, too.
    assert both.matcher.keyword_calibration is not None
    # The first stage knows that of its own scores, as it may be used alone.
    assert both.matcher.first.calibration not in (None, both.matcher.calibration)
    known = both.matcher.first.match_probability, both.matcher.match_probability
    assert (known[0].second, known[1].second is None) == (None, False)
    assert both.matcher.first.threshold == both.matcher.threshold == 0.5
    found = visita.evaluate(both.matcher, f"folder:{named_folder}", split="dev")
    assert found["protocols"] == both.report["protocols"]


def test_a_killed_run_goes_on_to_the_same_matcher(both, named_folder, tmp_path, capfd):
    data, out = f"folder:{named_folder}", tmp_path / both.folder.name
    command = [*VISITA, "train", "mkl-visita", "--data", data, "--out", str(out)]
    kill_when("epoch 2:", [*command, *words_of(DEFAULT)])
    assert not out.exists() and (tmp_path / "both.partial").is_dir()
    other = MklVisitaConfig.of({**DEFAULT, "seed": 1})
    with pytest.raises(MismatchError, match=r"config\.seed is 0 there, 1 here"):
        visita.train(data, out, config=other)
    capfd.readouterr()
    done = visita.train(data, out, config=MklVisitaConfig.of(DEFAULT))
    said = capfd.readouterr().err
    assert re.search(r"going on after epoch [234]\n", said) and "before training" not in said
    assert done.matcher.fingerprint() == both.matcher.fingerprint()
    assert done.report == both.report
    assert [path.name for path in tmp_path.iterdir()] == ["both"]
