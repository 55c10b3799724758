"""An image encoder trained on drawn pairs through its pixels, and what is made with it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import run
from drawn import draw_pairs
from forging import forge
from test_training_cross_modal import TINY

import visita
from visita.cli.train import named_levels
from visita.data import PairSet, open_pairs
from visita.data.decode import decode
from visita.encoders.fitted import install_fitted, save_fitted
from visita.encoders.tuned import TunedEncoder, by_name
from visita.errors import ArtifactError, ConfigError, MismatchError
from visita.home import cache_home
from visita.matchers.cross_modal import CrossModalReranker
from visita.store.pictures import RecipeEncoder
from visita.testing import check_encoder
from visita.training.batches import Pixels
from visita.training.mkl_config import EndToEndConfig
from visita.types import Recipe

pytestmark = pytest.mark.slow

BASE = "efficientnet-lite0"
LEVELS = ("block2:5x5", "block4:5x5")
NETWORK = {**TINY, "image_levels": {BASE: LEVELS}, "epochs": 0}
SETTINGS = {"epochs": 2, "learning_rate": 3e-3, "network": {**NETWORK, "batch": 12}}
LEARNT = "network._blocks.4._project_conv.weight"


@pytest.fixture(scope="module", autouse=True)
def exact() -> Iterator[None]:
    """Compute in float32: what so little training learns must not depend on the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISITA_PRECISION", "float32")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return 40 drawn pictures: 28 train, 6 dev and 6 test."""
    place = tmp_path_factory.mktemp("few")
    draw_pairs(place, 40)
    return place


@pytest.fixture(scope="module")
def pairs(folder) -> PairSet:
    return open_pairs(f"folder:{folder}")


@pytest.fixture(scope="module")
def trained(pairs, tmp_path_factory) -> visita.TrainedEncoder:
    out = tmp_path_factory.mktemp("tuned") / "eyes"
    return visita.train_encoder(pairs, out, config=EndToEndConfig.of(SETTINGS))


def weights(encoder: TunedEncoder) -> dict[str, torch.Tensor]:
    return dict(encoder.network(LEVELS).named_parameters())


def test_it_keeps_the_contract(trained):
    check_encoder(trained.encoder)
    assert trained.encoder.name == f"tuned:{trained.encoder.fingerprint()}"


def test_it_learns_what_its_levels_are_made_of_and_nothing_else(trained):
    assert trained.after > trained.before and trained.pictures == 6
    start = weights(TunedEncoder(BASE, {}))
    later = {f"network._blocks.{number}." for number in range(5, 16)}
    later |= {"network._conv_head.", "network._bn1.", "network._fc."}
    for name, found in weights(trained.encoder).items():
        untouched = any(name.startswith(prefix) for prefix in later)
        assert (name in trained.encoder.tensors) != untouched, name
        assert torch.equal(found, start[name]) or not untouched, name
    assert not torch.equal(weights(trained.encoder)[LEARNT], start[LEARNT])
    before, after = (
        dict(one.network(LEVELS).named_buffers())
        for one in (TunedEncoder(BASE, {}), trained.encoder)
    )
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_features_are_those_of_the_trained_weights(trained, pairs):
    encoder, path = trained.encoder, pairs.image_paths[0]
    recipe = Recipe({encoder.name: LEVELS})
    [batch] = RecipeEncoder(recipe).encode([("a", path)])
    pixels = torch.from_numpy(np.stack([encoder.prepare(decode(path, reduced=encoder.reduced))]))
    plain = TunedEncoder(BASE, {}).network(LEVELS)(pixels)
    for level, expected, before in zip(LEVELS, encoder.network(LEVELS)(pixels), plain, strict=True):
        found = batch.columns[f"{encoder.name}/{level}"]
        assert np.allclose(found, expected.detach(), atol=1e-3)
        assert not np.allclose(found, before.detach(), atol=1e-2)


def test_the_same_seed_gives_the_same_encoder(trained, pairs, tmp_path):
    again = visita.train_encoder(pairs, tmp_path / "again", config=EndToEndConfig.of(SETTINGS))
    assert again.encoder.fingerprint() == trained.encoder.fingerprint()
    assert not (tmp_path / "again.partial").exists()


def test_one_that_is_no_better_stays_as_it_was(pairs, tmp_path):
    still = EndToEndConfig.of({**SETTINGS, "epochs": 0})
    found = visita.train_encoder(pairs, tmp_path / "still", config=still)
    assert found.encoder.tensors == {} and found.before == found.after


def test_a_tuned_one_is_tuned_further(trained, pairs, tmp_path):
    network = {**SETTINGS["network"], "image_levels": {trained.encoder.name: LEVELS}}
    further = EndToEndConfig.of({**SETTINGS, "epochs": 3, "seed": 1, "network": network})
    found = visita.train_encoder(pairs, tmp_path / "further", config=further)
    assert found.encoder.base == BASE and set(found.encoder.tensors) >= {LEARNT}
    assert found.encoder.fingerprint() != trained.encoder.fingerprint()


def test_matchers_carry_it(trained, pairs, tmp_path, monkeypatch):
    name = trained.encoder.name
    assert named_levels(f"tuned:{trained.folder}", "4") == {name: ["layer4:avg"]}
    first = {"image_levels": {name: ["block4:avg"]}, "class_names_weight": 0, "epochs": 1}
    second = {**NETWORK, "image_levels": {name: LEVELS}, "epochs": 1}
    config = visita.MklVisitaConfig.of({"first": {**first, "hidden": 32}, "second": second})
    made = visita.train(pairs, tmp_path / "mine", config=config).matcher
    monkeypatch.setenv("VISITA_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(ArtifactError, match="neither in the cache"):
        by_name(trained.encoder.fingerprint())
    for part, expected in (("", made), ("first", made.first), ("second", made.reranker)):
        load = CrossModalReranker.load if part == "second" else visita.load
        assert load(tmp_path / "mine" / part).fingerprint() == expected.fingerprint()
    kept = by_name(trained.encoder.fingerprint())
    assert np.array_equal(kept.tensors[LEARNT], trained.encoder.tensors[LEARNT])


def test_the_command_says_how_much_it_helped(folder, tmp_path):
    network = (f"network.{key}={json.dumps(value)}" for key, value in SETTINGS["network"].items())
    words = [word for one in ("epochs=1", *network) for word in ("--set", one)]
    line = ("train", "encoder", "--data", f"folder:{folder}", "--out", tmp_path / "eyes")
    done = run(*line, *words)
    assert done.status == 0, done.err
    assert "rsum on 6 pictures of dev, which also chose the epoch: " in done.out
    assert f"--image-encoder tuned:{tmp_path / 'eyes'}" in done.out
    found = TunedEncoder.load(tmp_path / "eyes")
    assert by_name(found.fingerprint()).base == BASE


def test_pixels_vary_and_whole_ones_do_not(pairs):
    encoder = TunedEncoder(BASE, {})
    pixels, rows = Pixels(encoder, pairs.image_paths[:3]), np.array([2, 0])
    whole = pixels.whole(rows)
    expected = encoder.prepare(decode(pairs.image_paths[2], reduced=encoder.reduced))
    assert np.array_equal(whole[0], expected) and len(pixels) == 3
    varied = [pixels.varied(rows, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert np.array_equal(varied[0], varied[1]) and not np.array_equal(varied[0], varied[2])
    assert not np.array_equal(varied[0], whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_levels": {BASE: LEVELS, "efficientnet-lite1": LEVELS}}, "one by one"),
        ({"views": ("crop",)}, "anew each time"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        EndToEndConfig.of({"network": changes})


def test_damaged_and_foreign_ones_are_refused(trained, tmp_path):
    folder = tmp_path / "eyes"
    TunedEncoder(BASE, {**trained.encoder.tensors, "more": np.zeros(2, np.float16)}).save(folder)
    with pytest.raises(ArtifactError, match="weights that efficientnet-lite0 does not: more"):
        TunedEncoder.load(folder).network(LEVELS)
    shutil.copytree(trained.folder, tmp_path / "other")
    forge(tmp_path / "other", fingerprint="0" * 16)
    with pytest.raises(MismatchError, match="trained from another efficientnet-lite0"):
        TunedEncoder.load(tmp_path / "other")
    with pytest.raises(ArtifactError, match="neither in the cache"):
        by_name(os.path.relpath(trained.folder, cache_home() / "tuned"))
    save_fitted(Recipe({trained.encoder.name: LEVELS}), tmp_path / "kept")
    kept = tmp_path / "kept" / trained.encoder.fingerprint()
    (kept / "weights.safetensors").write_bytes(b"no weights")
    with pytest.raises(ArtifactError):
        install_fitted(tmp_path / "kept")
    forge(kept, visita="matcher")
    with pytest.raises(ArtifactError, match="no image encoder that visita knows"):
        install_fitted(tmp_path / "kept")
