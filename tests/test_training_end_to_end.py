"""An image encoder trained on drawn pairs through its pixels, and what is made with it."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as tf
from commands import run
from drawn import draw_pairs
from forging import forge
from torch import nn

import visita
from visita.data import PairSet, open_pairs
from visita.data.decode import decode
from visita.data.identity import are_among, identities
from visita.encoders.fitted import install_fitted, save_fitted
from visita.encoders.minilm import MiniLM
from visita.encoders.table import IMAGE_ENCODERS
from visita.encoders.tuned import TunedEncoder, by_name
from visita.errors import ArtifactError, ConfigError, MismatchError
from visita.evaluation.retrieval import rsum_of_vectors
from visita.home import cache_home
from visita.matchers.cross_modal import CrossModalReranker
from visita.networks.losses import info_nce
from visita.store.extract import pair_features
from visita.store.pictures import RecipeEncoder
from visita.testing import check_encoder
from visita.training.config import EndToEndConfig
from visita.training.end_to_end import Pictures, sizes_of, train_end_to_end
from visita.training.fusion import closed_form_heads, known_heads
from visita.training.pixels import Pixels
from visita.training.tensors import PairTensors, Spans
from visita.types import FloatArray, Recipe
from visita.vectors import unit

pytestmark = pytest.mark.slow

BASE = "efficientnet-lite0"
LEVELS = ("block2:avg", "block4:avg")
SMALL = {
    **{"fusion_dim": 16, "hidden": 64, "dropout": 0, "input_dropout": 0, "averaging": 0.5},
    **{"batch": 12, "bank": 24, "head_epochs": 0, "epochs": 3, "sizes": [96, 128]},
}
SETTINGS: dict[str, Any] = {
    **SMALL,
    # So that there is much to learn: the closed form would be nearly right on such pictures.
    **{"image_ridge": 1e5, "text_ridge": 1e3, "learning_rate": 2e-3, "encoder_learning_rate": 3e-4},
    "image_levels": {BASE: LEVELS},
}
WIDTH = 24 + 40
LEARNT = "network._blocks.4._project_conv.weight"


@pytest.fixture(scope="module", autouse=True)
def exact() -> Iterator[None]:
    """Compute in float32: what so little training learns must not depend on the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISITA_PRECISION", "float32")
        yield


@pytest.fixture(scope="module")
def few(tmp_path_factory) -> PairSet:
    """Return 20 other drawn pictures: 14 train, 3 dev and 3 test."""
    place = tmp_path_factory.mktemp("few")
    draw_pairs(place, 20, seed=1)
    return open_pairs(f"folder:{place}")


@pytest.fixture(scope="module")
def trained(drawn_pairs, tmp_path_factory) -> visita.TrainedEncoder:
    out = tmp_path_factory.mktemp("tuned") / "eyes"
    return visita.train_encoder(drawn_pairs, out, config=EndToEndConfig.of(SETTINGS))


def weights(encoder: TunedEncoder) -> dict[str, torch.Tensor]:
    return dict(encoder.network(LEVELS).named_parameters())


def test_it_keeps_the_contract(trained):
    check_encoder(trained.encoder)
    assert trained.encoder.name == f"tuned:{trained.encoder.fingerprint()}"


def test_it_learns_what_its_levels_and_classes_are_made_of_but_for_the_first_layers(trained):
    assert trained.after > trained.before + 20 and trained.pictures == 18
    start = weights(TunedEncoder(BASE, {}))
    first = {f"network._blocks.{number}." for number in range(3)}  # a fifth of 16
    first |= {"network._conv_stem.", "network._bn0."}
    for name, found in weights(trained.encoder).items():
        frozen = any(name.startswith(prefix) for prefix in first)
        assert (name in trained.encoder.changes) != frozen, name
        assert torch.equal(found, start[name]) or not frozen, name
    assert not torch.equal(weights(trained.encoder)[LEARNT], start[LEARNT])
    before, after = (
        dict(one.network(LEVELS).named_buffers())
        for one in (TunedEncoder(BASE, {}), trained.encoder)
    )
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_runs_without_torch_has_all_that_was_learnt(trained, drawn_pairs):
    """Scales and offsets of the norms too."""
    encoder, path = trained.encoder, drawn_pairs.image_paths[0]
    assert sum("_bn" in name for name in encoder.changes) > 50
    levels = (*LEVELS, "block14:max", "head:avg", "classes")
    [batch] = RecipeEncoder(Recipe({encoder.name: levels})).encode([("a", path)])
    pixels = torch.from_numpy(np.stack([encoder.prepare(decode(path, reduced=encoder.reduced))]))
    with torch.inference_mode():
        expected = encoder.network(levels)(pixels)
        plain = TunedEncoder(BASE, {}).network(levels)(pixels)
    for level, right, before in zip(levels, expected, plain, strict=True):
        found = batch.columns[f"{encoder.name}/{level}"]
        assert np.linalg.norm(found - right.numpy()) < 1e-3 * np.linalg.norm(right), level
        moved = np.linalg.norm(found - before.numpy()) > 1e-2 * np.linalg.norm(right)
        assert moved == (level != "block2:avg"), level  # which is frozen


def test_the_same_seed_gives_the_same_encoder(trained, drawn_pairs, tmp_path):
    again = visita.train_encoder(
        drawn_pairs, tmp_path / "again", config=EndToEndConfig.of(SETTINGS)
    )
    assert again.encoder.fingerprint() == trained.encoder.fingerprint()
    assert not (tmp_path / "again.partial").exists()


def test_one_that_is_no_better_stays_as_it_was(drawn_pairs, tmp_path):
    still = EndToEndConfig.of({**SETTINGS, "epochs": 0, "head_epochs": 1})
    found = visita.train_encoder(drawn_pairs, tmp_path / "still", config=still)
    assert found.encoder.changes == {} and found.before == found.after


def test_it_reads_pictures_of_the_size_that_it_learnt_last(few, tmp_path):
    config = EndToEndConfig.of({**SETTINGS, "sizes": [64, 96], "epochs": 2})
    encoder = visita.train_encoder(few, tmp_path / "eyes", config=config).encoder
    assert encoder.side == TunedEncoder.load(tmp_path / "eyes").side == 96
    check_encoder(encoder)
    assert encoder.level_shapes()["stem:grid"] == (48 * 48, 32)
    without = TunedEncoder(BASE, encoder.changes)
    assert without.side == 224 and without.fingerprint() != encoder.fingerprint()


def test_it_runs_in_int8_by_what_was_measured_on_its_pictures(trained, drawn_pairs, monkeypatch):
    encoder, items = trained.encoder, [(str(p), p) for p in drawn_pairs.image_paths[:8]]
    levels = ("block4:avg", "head:avg", "classes")
    found = {}
    for precision in ("float32", "int8"):
        monkeypatch.setenv("VISITA_PRECISION", precision)
        reader = RecipeEncoder(Recipe({encoder.name: levels}))
        [batch] = reader.encode(items)
        found[precision] = batch.columns
    for level in levels:
        exact, rounded = (found[p][f"{encoder.name}/{level}"] for p in ("float32", "int8"))
        assert not np.array_equal(exact, rounded), level
        cosines = (unit(exact) * unit(rounded)).sum(1)
        assert cosines.min() > 0.98, level


def test_a_matcher_on_it_begins_with_its_heads(trained, drawn_pairs, tmp_path, capfd):
    config = {name: SETTINGS[name] for name in ("fusion_dim", "hidden")}
    config |= {"image_levels": {trained.encoder.name: LEVELS}, "class_names_weight": 0, "epochs": 0}
    visita.train(drawn_pairs, tmp_path / "on", config=visita.FusionConfig.of(config))
    [start] = re.findall(r"before training: dev (\S+)", capfd.readouterr().err)
    assert float(start) == pytest.approx(trained.after, abs=12)  # both views now, and rounded
    assert not list((tmp_path / "on").rglob("heads.safetensors"))
    other = visita.FusionConfig.of({**config, "hidden": 2 * config["hidden"]})
    visita.train(drawn_pairs, tmp_path / "wider", config=other)
    assert "of other levels or widths: new ones" in capfd.readouterr().err


def test_heads_with_weights_of_others_are_refused(trained):
    known = trained.encoder.heads
    config = visita.FusionConfig.of({"image_levels": {trained.encoder.name: LEVELS}})
    config = config.model_copy(update={"fusion_dim": 16, "hidden": 64})
    text = MiniLM(known.text_levels)
    widths = Spans((0, WIDTH + 1), None, (0, text.dim), (0, text.dim))
    with pytest.raises(ArtifactError, match="other weights than such heads have"):
        known_heads(widths, config, text)


def pictures_of(pairs: PairSet, *further: str) -> Pictures:
    """Return what training reads of pairs: the levels, and what else the encoder gives."""
    recipe = Recipe({BASE: (*LEVELS, *further)}, mirror=True)
    read = pair_features(pairs, recipe, MiniLM(("layer6",)))
    pixels = Pixels(IMAGE_ENCODERS.load(BASE)(), read.pairs.image_paths)
    tensors = PairTensors.of(read, recipe)
    return Pictures(pixels, tensors, WIDTH)


class StoppedError(Exception):
    """What ends a run half-way."""


def trained_until(
    pairs: PairSet, folder: Path, config: EndToEndConfig, stop: int | None = None
) -> dict[str, torch.Tensor]:
    """Train, and raise where dev is looked at for the time ``stop``; return the weights."""
    network = IMAGE_ENCODERS.load(BASE)().network(LEVELS)
    train, dev = (pictures_of(pairs.take(split)) for split in ("train", "dev"))
    rsum, looked = rsum_of_vectors(dev.tensors.truth), []

    def validate(images: FloatArray, texts: FloatArray) -> float:
        looked.append(1)
        if len(looked) == stop:
            raise StoppedError
        return rsum(images, texts) + len(looked)  # so that the last epoch is kept

    sizes = sizes_of(network, 224, config)
    train_end_to_end(network, train, dev, sizes, validate, config, resume=folder)
    return network.state_dict()


def test_a_run_that_was_killed_goes_on_to_the_same_bits(few, tmp_path, capfd):
    config = EndToEndConfig.of({**SETTINGS, "sizes": [64, 96], "head_epochs": 1, "epochs": 4})
    whole = trained_until(few, tmp_path / "whole", config)
    # Of the heads' start and epoch, of the start of both, and of two epochs.
    with pytest.raises(StoppedError):
        trained_until(few, tmp_path / "part", config, stop=5)
    capfd.readouterr()
    found = trained_until(few, tmp_path / "part", config)
    assert capfd.readouterr().err.count("going on after epoch 1\n") == 2
    assert all(torch.equal(found[name], whole[name]) for name in whole)


def test_the_loss_is_that_of_fresh_pictures_and_of_others_as_they_were(few, tmp_path):
    """The first epoch's mean loss, recomputed plainly, without dropout and steps."""
    still = {"learning_rate": 1e-30, "encoder_learning_rate": 1e-30, "averaging": 0, "bank": 8}
    changes = {"sizes": [64], "stochastic_depth": 0, "epochs": 1, "distillation": 0.7, "seed": 5}
    config = EndToEndConfig.of({**SETTINGS, **still, **changes})
    train = pictures_of(few.take("train"), "classes")
    network = IMAGE_ENCODERS.load(BASE)().network((*LEVELS, "classes"))
    validate = rsum_of_vectors(train.tensors.truth)
    _, history = train_end_to_end(network, train, train, (64,), validate, config, resume=tmp_path)
    truth, known = train.tensors.truth.toarray(), train.tensors.images[:, 0, :WIDTH].copy()
    texts = train.tensors.texts
    heads = closed_form_heads(train.tensors, Spans.whole(WIDTH, texts.shape[1]), config).eval()
    rng = np.random.default_rng([5, 1])
    order = rng.permutation(14)
    fresh, losses = [order[:12], order[12:]], []
    views = [next(train.pixels.varied([rows], 64, rng, mirror=True)) for rows in fresh]
    for rows, pixels in zip(fresh, views, strict=True):
        others = rng.permutation([row for row in range(14) if row not in rows])[:8]
        every = [*rows, *others]
        own = [np.flatnonzero(truth[row]) for row in every]
        low = np.array([row * 3 for row in every])  # each has three texts, in their order
        assert all(np.array_equal(t, [f, f + 1, f + 2]) for t, f in zip(own, low, strict=True))
        one, two = rng.integers(low, low + 3), rng.integers(low, low + 3)
        shares = rng.random(len(every), dtype=np.float32)[:, None]
        rng.integers(0, 1, len(every))  # which of one view
        with torch.inference_mode():
            second, fourth, classes = network(torch.from_numpy(pixels))
            levels = torch.cat([second, fourth], 1).numpy()
            images = np.concatenate([levels, known[others]])
            mixed = shares * texts[one] + (1 - shares) * texts[two]
            read = heads.text(torch.from_numpy(mixed))
            scores = heads.image(torch.from_numpy(images)[:, None]) @ read.T
            nce = info_nce(scores, torch.zeros(scores.shape, dtype=torch.bool), 0.05, 0.05)
        start = train.tensors.images[rows, :, WIDTH:].mean(1)
        divergence = (start * (np.log(start) - np.log(classes.numpy()))).sum(1).mean()
        losses.append(nce.item() + 0.7 * len(rows) / len(every) * divergence)
        known[rows] = levels
    assert history.epochs[0].loss == pytest.approx(np.mean(losses), rel=1e-3)


def test_class_probabilities_stay_what_they_were(few, tmp_path):
    train = pair_features(few.take("train"), Recipe({BASE: ("classes",)}), MiniLM(("layer6",)))
    start = torch.from_numpy(train.columns[f"{BASE}/classes"])
    moved = []
    for number, weight in enumerate((0.5, 50)):
        changes = {"distillation": weight, "encoder_learning_rate": 1e-3, "sizes": [224]}
        config = EndToEndConfig.of({**SETTINGS, **changes, "averaging": 0, "mirror": False})
        found = visita.train_encoder(few, tmp_path / str(number), config=config).encoder
        pixels = Pixels(found, few.take("train").image_paths).whole(np.arange(14))
        with torch.inference_mode():
            [classes] = found.network(("classes",))(torch.from_numpy(pixels))
        moved.append(nn.functional.kl_div(classes.log(), start, reduction="batchmean").item())
    assert moved[1] < moved[0] / 2


def test_a_tuned_one_is_tuned_further_and_saw_what_it_did(trained, few, tmp_path):
    levels = {trained.encoder.name: LEVELS}
    further = EndToEndConfig.of({**SETTINGS, "seed": 1, "image_levels": levels})
    found = visita.train_encoder(few, tmp_path / "further", config=further)
    assert found.encoder.base == BASE and set(found.encoder.changes) >= {LEARNT}
    kept = TunedEncoder.load(tmp_path / "further").seen.train
    for pictures in (identities(few.take("train").image_paths), trained.encoder.seen.train):
        assert are_among(pictures, kept).all()


def test_matchers_carry_it_and_saw_what_it_saw(trained, drawn_pairs, few, tmp_path, monkeypatch):
    name = trained.encoder.name
    first = {
        "image_levels": {f"tuned:{trained.folder}": ["block4:avg"]},
        "class_names_weight": 0,
        "epochs": 1,
    }
    second = {"image_levels": {name: ("block2:5x5", "block4:5x5")}, "width": 32, "dim": 16}
    second |= {"heads": 2, "epochs": 0, "batch": 12}
    config = visita.MklVisitaConfig.of({"first": {**first, "hidden": 32}, "second": second})
    assert config.first.image_levels == {name: ("block4:avg",)}
    made = visita.train(few, tmp_path / "mine", config=config).matcher
    seen = visita.load(tmp_path / "mine").seen
    for pairs in (few, drawn_pairs):
        assert seen.among(identities(pairs.take("train").image_paths)).train.all()
        assert seen.among(identities(pairs.take("dev").image_paths)).any.all()
    assert np.array_equal(made.seen.train, seen.train)
    monkeypatch.setenv("VISITA_HOME", str(tmp_path / "elsewhere"))
    with pytest.raises(ArtifactError, match="neither in the cache"):
        by_name(trained.encoder.fingerprint())
    for part, expected in (("", made), ("first", made.first), ("second", made.reranker)):
        load = CrossModalReranker.load if part == "second" else visita.load
        assert load(tmp_path / "mine" / part).fingerprint() == expected.fingerprint()
    kept = by_name(trained.encoder.fingerprint())
    assert np.array_equal(kept.changes[LEARNT], trained.encoder.changes[LEARNT])
    assert np.array_equal(kept.seen.train, trained.encoder.seen.train)


def test_what_it_saw_is_no_part_of_what_it_is(trained, drawn_pairs):
    paths = drawn_pairs.take("train").image_paths
    assert np.array_equal(trained.encoder.seen.train, identities(paths))
    other = TunedEncoder(BASE, trained.encoder.changes, side=trained.encoder.side)
    assert other.seen is None and other.fingerprint() == trained.encoder.fingerprint()


def test_the_command_says_how_much_it_helped(few, tmp_path):
    changes = {**SETTINGS, "epochs": 1, "sizes": [64]}
    changes.pop("image_levels")
    words = [w for k, v in changes.items() for w in ("--set", f"{k}={json.dumps(v)}")]
    words += ["--image-encoder", BASE, "--levels", "block2:avg,block4:avg"]
    line = ("train", "encoder", "--data", few.source, "--out", tmp_path / "eyes")
    done = run(*line, *words)
    assert done.status == 0, done.err
    assert "rsum on 3 pictures of dev, which also chose the epoch: " in done.out
    assert f"--image-encoder tuned:{tmp_path / 'eyes'}" in done.out
    found = TunedEncoder.load(tmp_path / "eyes")
    assert by_name(found.fingerprint()).base == BASE


SIDE = 40
MODELS: dict[str, Any] = {
    "vit": (
        tf.ViTConfig(
            **{"hidden_size": 24, "num_hidden_layers": 5, "num_attention_heads": 2},
            **{"intermediate_size": 32, "image_size": SIDE, "patch_size": 8},
        ),
        tf.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}),
        ("layers.2:avg", "layers.4:cls"),
        "layers.0.",
        {SIDE},
    ),
    "convnext": (
        tf.ConvNextConfig(
            hidden_sizes=[8, 16], depths=[2, 3], num_stages=2, layer_scale_init_value=1.0
        ),
        tf.ConvNextImageProcessorPil(size={"shortest_edge": SIDE}),
        ("encoder.stages.0:avg", "encoder.stages.1:max"),
        "encoder.stages.0.layers.0.",
        {32, SIDE},
    ),
}


@pytest.mark.parametrize("kind", MODELS)
def test_networks_of_other_libraries_learn_too(kind, few, tmp_path):
    configuration, processor, levels, frozen, sizes = MODELS[kind]
    torch.manual_seed(0)
    tf.AutoModel.from_config(configuration).save_pretrained(tmp_path / kind)
    processor.save_pretrained(tmp_path / kind)
    name = f"transformers:{tmp_path / kind}"
    changes = {**SETTINGS, "image_levels": {name: levels}, "sizes": [], "stochastic_depth": 0.5}
    config = EndToEndConfig.of({**changes, "epochs": 16})
    base = IMAGE_ENCODERS.load(name)()
    assert set(sizes_of(base.network(levels), base.side, config)) == sizes
    found = visita.train_encoder(few, tmp_path / "eyes", config=config).encoder
    assert found.changes and not any(key.startswith(f"network.{frozen}") for key in found.changes)
    check_encoder(found)


class Whole(nn.Module):
    """A network that reads pictures of one size alone."""

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor]:
        """Return one number a picture."""
        return (pixels.float().reshape(-1, 64 * 64 * 3).mean(1, keepdim=True),)


def sizes(network: nn.Module, side: int, **changes: Any) -> list[int]:
    return list(sizes_of(network, side, EndToEndConfig.of(changes)))


def test_pictures_grow_from_epoch_to_epoch():
    lite0, lite2 = (
        IMAGE_ENCODERS.load(f"efficientnet-lite{number}")().network(("block0:avg",))
        for number in (0, 2)
    )
    assert sizes(lite0, 224) == 8 * [160] + 5 * [192] + 3 * [224]
    assert set(sizes(lite2, 260)) == {192, 224, 260}
    assert sizes(lite0, 224, sizes=[128, 160, 96], epochs=6) == [128, 128, 160, 160, 96, 96]
    assert sizes(lite0, 224, epochs=2) == [160, 224] and sizes(lite0, 224, epochs=1) == [224]
    assert sizes(Whole(), 64, epochs=3) == [64, 64, 64]
    with pytest.raises(ConfigError, match=r"no pictures of 96 pixels: .* set it to \[64\]"):
        sizes(Whole(), 64, sizes=[64, 96])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_levels": {BASE: LEVELS, "efficientnet-lite1": LEVELS}}, "one by one"),
        ({"image_levels": {BASE: ["classes"]}}, "besides 'classes'"),
        ({"sizes": [8]}, "sizes"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        EndToEndConfig.of(changes)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({BASE: ["block4:5x5"]}, "fused pooled, and block4:5x5"),
        ({"colours": ["whole"]}, "colours is computed without a network"),
    ],
)
def test_what_cannot_be_trained_is_refused(levels, message, few, tmp_path):
    with pytest.raises(ConfigError, match=message):
        visita.train_encoder(few, tmp_path / "no", config=EndToEndConfig(image_levels=levels))
    assert not list(tmp_path.iterdir())


def test_damaged_and_foreign_ones_are_refused(trained, tmp_path):
    folder = tmp_path / "eyes"
    TunedEncoder(BASE, {**trained.encoder.changes, "more": np.zeros(2, np.float16)}).save(folder)
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
