"""The systems that the papers compare with: each trains, is saved, found and measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from commands import run

import visita
from visita.baselines import BASELINES
from visita.baselines.baseline import VectorBaseline
from visita.baselines.train import train_baseline
from visita.data import PairSet
from visita.encoders.vocabulary import Vocabulary
from visita.errors import ConfigError, UnknownNameError
from visita.matchers import load
from visita.matchers.cross_modal import CrossModalReranker, reranker_of, stack_grids
from visita.search.caption import CaptionWriter
from visita.store.extract import pair_features, picture_features
from visita.testing import check_matcher
from visita.training.grids import cross_tensors
from visita.training.tensors import PairTensors
from visita.training.vectors import text_encoder_of
from visita.types import Recipe

pytestmark = pytest.mark.slow

POOLED = {"efficientnet-lite0": ("block10:avg", "head:avg", "classes")}
CELLS = {"efficientnet-lite0": ("block11:5x5", "block15:5x5")}
TOPICS = {"topics": 15}
FIRST = {**TOPICS, "image_levels": POOLED, "image_ridge": 30, "directions": 12}
SMALL: Mapping[str, dict[str, Any]] = {
    "bag-of-words": {**TOPICS, "words": 20, "directions": 12, "descriptors": ["sift"]},
    "cca": {**TOPICS, "image_levels": POOLED, "mirror": True, "image_ridge": 30, "directions": 12},
    "dcca": {**TOPICS, "image_levels": POOLED, "mirror": True, "hidden": 32, "outputs": 12},
    "dspe": {**TOPICS, "image_levels": POOLED, "mirror": True, "hidden": 64, "outputs": 32},
    "uvs": {"image_levels": POOLED, "dim": 32},
    "vse++": {"image_levels": POOLED, "dim": 32},
    "dan": {"image_levels": CELLS, "dim": 48},
    "adpm": {"image_levels": CELLS, "words": 12, "pairs": 80, "dim": 32},
    "m-cnn": {"image_levels": POOLED, "epochs": 4, "learning_rate": 1e-3, "first": FIRST},
    "scan": {"image_levels": CELLS, "dim": 24, "direction": "both", "first": FIRST},
    "nic": {"image_levels": POOLED, "dim": 32, "first": FIRST},
}
QUICK = {"epochs": 3, "batch": 32, "learning_rate": 3e-3}
CLOSED = ("adpm", "bag-of-words", "cca")
PAIRS = ("m-cnn", "nic", "scan")
LONG = ("m-cnn", "scan")


def config_of(name: str, **more: Any) -> Any:
    if name == "bag-of-words":
        pytest.importorskip("cv2", reason="needs the extra classical")
    loop = {} if name in CLOSED else QUICK
    return BASELINES.load(name).of({**loop, **SMALL[name], **more})


@pytest.fixture(scope="module")
def trained(drawn_pairs, tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("baselines"), {}

    def of(name: str) -> visita.Trained:
        if name not in made:
            made[name] = visita.train(drawn_pairs, folder / name, config=config_of(name))
        return made[name]

    return of


@pytest.fixture(
    params=[
        pytest.param(one, marks=[pytest.mark.campaign] * (one in LONG))
        for one in sorted(BASELINES.names())
    ]
)
def name(request) -> str:
    return request.param


def test_every_baseline_is_tried_here():
    assert set(SMALL) == set(BASELINES.names())


def test_it_keeps_the_matchers_contract(name, trained, drawn_pairs):
    matcher = load(trained(name).folder)
    test = drawn_pairs.take("test")
    features = pair_features(test, matcher.recipe, matcher.open_text_encoder())
    check_matcher(matcher, features.columns, features.texts)


def test_it_learns(name, trained):
    result = trained(name)
    retrieval = result.report["protocols"]["retrieval"]
    # By chance the rsum of 18 images with three captions each is about 155.
    assert retrieval["rsum"]["value"] > 200
    assert (result.folder / "curve.png").is_file()
    assert result.matcher.facts["config"]["seed"] == 0
    assert max(result.matcher.facts["dev_rsum"]) > 190


def test_a_saved_one_is_the_same(name, trained, drawn_pairs):
    matcher, saved = trained(name).matcher, load(trained(name).folder)
    assert saved.fingerprint() == matcher.fingerprint()
    assert saved.facts == json.loads(json.dumps(matcher.facts))
    features = pair_features(drawn_pairs.take("test"), matcher.recipe, matcher.open_text_encoder())
    assert np.array_equal(
        saved.embed_images(features.columns), matcher.embed_images(features.columns)
    )
    assert (saved.reranker is not None) == (name in PAIRS)
    if saved.reranker:
        assert saved.depth == matcher.depth == (100 if name == "nic" else 50)
        packed = [one.reranker.pack_images(features.columns) for one in (saved, matcher)]
        assert np.array_equal(*packed)
    texts = saved.open_text_encoder().encode(features.pairs.texts)
    assert np.allclose(saved.embed_texts(texts), matcher.embed_texts(features.texts), atol=1e-6)
    assert not [path for path in trained(name).folder.rglob("*") if path.suffix == ".pkl"]


def learnt(config: Any, pairs: PairSet) -> dict[str, Any]:
    if isinstance(config, VectorBaseline):
        config = config.prepared(pairs.take("train"))
        recipe, text = config.recipe(), text_encoder_of(config, pairs)
        train, dev = (
            PairTensors.of(pair_features(pairs.take(split), recipe, text), recipe)
            for split in ("train", "dev")
        )
        network, _ = config.learn(train, dev, lambda *_: 0.0)
    else:
        vocabulary = Vocabulary.fit(pairs.take("train").texts, 100, 20)
        recipe = config.recipe()
        train, dev = (
            cross_tensors(*picture_features(pairs.take(split), recipe), recipe, vocabulary)
            for split in ("train", "dev")
        )
        score = iter(range(100))
        network, _ = config.learn(train, dev, lambda *_: float(next(score)), vocabulary)
    return {key: value.numpy().copy() for key, value in network.state_dict().items()}


@pytest.mark.parametrize("name", [one for one in SMALL if one != "bag-of-words"])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(name, drawn_pairs):
    short = {} if name in CLOSED else {"epochs": 1}
    half = drawn_pairs.subset(np.arange(0, len(drawn_pairs.image_ids), 2))
    one, same = (learnt(config_of(name, **short), half) for _ in range(2))
    assert all(np.array_equal(one[key], same[key]) for key in one)
    if name not in CLOSED:
        other = learnt(config_of(name, seed=1, **short), half)
        assert any(not np.array_equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("cca", {"epochs": 5, "batch": 3}, "epochs and batch would do nothing"),
        ("cca", {"distance": "taxi"}, "distance"),
        ("cca", {"image_levels": CELLS}, "is a grid"),
        ("cca", {"directons": 5}, "Did you mean 'directions'"),
        ("cca", {"text_encoder": "minilm-l6", "text_levels": ["layer6"], "topics": 9}, "topics"),
        ("bag-of-words", {"image_levels": POOLED}, "set descriptors and words"),
        ("bag-of-words", {"descriptors": []}, "at least one"),
        ("bag-of-words", {"descriptors": ["surf"]}, "descriptors"),
        ("dan", {"dim": 100}, "cannot be shared by 3 steps"),
        ("uvs", {"image_levels": {**CELLS, "efficientnet-lite2": ["head:avg"]}}, "of cells"),
        ("uvs", {"image_levels": {"efficientnet-lite0": ["head:sum"]}}, "no level 'head:sum'"),
        ("vse++", {"learning_rate": 0}, "learning_rate"),
        ("adpm", {"epochs": 5}, "epochs would do nothing"),
        ("m-cnn", {"longest": 31}, "longest"),
        ("m-cnn", {"level": "phrase"}, "level"),
        ("scan", {"direction": "up"}, "direction"),
        ("nic", {"depth": 0}, "depth"),
        ("nic", {"first": {"directons": 3}}, "Did you mean 'directions'"),
        ("scan", {"first": {"image_levels": CELLS}}, "is a grid"),
    ],
)
def test_wrong_settings_are_refused_before_any_work(name, settings, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        train_baseline(
            "folder:no-such-folder", tmp_path / "out", config=BASELINES.load(name).of(settings)
        )
    assert not (tmp_path / "out").exists()


def test_columns_of_other_numbers_of_cells_are_not_joined():
    recipe = Recipe({"efficientnet-lite0": ("block11:5x5", "block15:5x5", "head:avg")})
    grids = {name: np.ones((2, 25, 3), np.float32) for name in recipe.columns()[:2]}
    whole = {recipe.columns()[2]: np.ones((2, 4), np.float32)}
    assert stack_grids(grids, Recipe(CELLS)).shape == (2, 25, 6)
    with pytest.raises(ConfigError, match="head:avg have different numbers of cells"):
        stack_grids({**grids, **whole}, recipe)


def test_an_unknown_name_gets_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match=r"Did you mean 'vse\+\+'"):
        BASELINES.load("vse+")
    done = run("train", "baseline", "cka", "--data", "folder:x", "--out", tmp_path / "out")
    assert done.status == 2 and "Did you mean 'cca'" in done.err


def test_the_command_trains_and_others_use_the_result(drawn_folder, tmp_path):
    out, data = tmp_path / "found", f"folder:{drawn_folder}"
    settings = {**SMALL["cca"], "distance": "euclidean"}
    words = [w for k, v in settings.items() for w in ("--set", f"{k}={json.dumps(v)}")]
    done = run("train", "baseline", "cca", "--data", data, "--out", out, *words, "--json")
    assert done.status == 0, done.err
    assert done.json["dev"]["protocols"]["retrieval"]["rsum"]["value"] > 200
    measured = visita.evaluate(out, data)
    assert measured["matcher"] == {k: done.json[k] for k in ("name", "fingerprint")}


def test_a_captioner_writes_captions(trained, drawn_pairs):
    folder = trained("nic").folder
    writer = CaptionWriter(folder)
    captions = writer.caption(drawn_pairs.image_paths[0], 3)
    assert 1 <= len(captions) <= 3
    scores = [one.score for one in captions]
    assert scores == sorted(scores, reverse=True) and scores[0] < 0
    known = {word for text in drawn_pairs.texts for word in text.split()}
    assert all(set(one.text.split()) <= known for one in captions)
    done = run("caption", drawn_pairs.image_paths[0], "--matcher", folder, "-k", 3, "--json")
    assert done.status == 0, done.err
    [picture] = done.json["pictures"]
    assert [one["text"] for one in picture["captions"]] == [one.text for one in captions]


@pytest.mark.parametrize("name", ["cca", "scan"])
def test_what_is_no_captioner_says_how_to_get_one(name, trained):
    with pytest.raises(ConfigError, match="visita train baseline nic"):
        CaptionWriter(trained(name).matcher)


@pytest.mark.parametrize("level", ["phrase-short", "phrase-long", "sentence"])
def test_a_saved_m_cnn_scores_as_its_network_at_every_level(level, drawn_pairs, tmp_path):
    torch.manual_seed(0)
    config = config_of("m-cnn", level=level)
    test, columns = picture_features(drawn_pairs.take("test"), config.recipe())
    features = sum(column.shape[-1] for column in columns.values())
    vocabulary = Vocabulary.fit(test.texts, 50, 30)
    network = config.made(1, features, len(vocabulary)).eval()
    reranker_of(network, config.recipe(), vocabulary).save(tmp_path / "second")
    saved = CrossModalReranker.load(tmp_path / "second")
    pictures, [text] = saved.pack_images(columns), saved.pack_texts(test.texts[:1])
    found = saved.torch_network().score(
        torch.from_numpy(pictures.astype(np.float32)), torch.from_numpy(text[None])
    )
    assert np.ptp(found.detach().numpy()) > 1e-4
    assert np.allclose(saved.scores(pictures, text), found.detach()[:, 0], atol=1e-5)


def test_a_pair_baseline_orders_what_cca_found(trained, drawn_pairs):
    matcher = trained("scan").matcher
    assert matcher.weight == 1.0 and matcher.first.space["parts"][0]["network"] == "projection"
    report = visita.evaluate(matcher, drawn_pairs)["protocols"]
    assert report["first stage"]["rsum"]["value"] > report["retrieval"]["rsum"]["value"]
    explained = visita.explain(matcher, drawn_pairs.image_paths[0], "a red circle")
    assert [one.name for one in explained.kernels][-1] == "image-text matching"
