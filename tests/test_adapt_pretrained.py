"""Adapting frozen checkpoints: from cached vectors, never worse on dev, and saved whole."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import tiny_pretrained as tiny
import torch
from commands import process, run
from PIL import Image
from scipy import sparse

import visita
from visita.cli.models import describe
from visita.errors import ArtifactError, ConfigError, MismatchError
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.retrieval import rsum_of_vectors
from visita.matchers.combine import FusedMatcher, ScaledMatcher
from visita.matchers.pretrained import DualMatcher, PairedMatcher
from visita.store.pictures import RecipeEncoder
from visita.testing import check_matcher
from visita.training.adapt import MIXES, adapt_frozen, from_the_means
from visita.training.config import AdaptConfig
from visita.training.tensors import PairTensors
from visita.vectors import unit

pytestmark = pytest.mark.slow

CONFIG = AdaptConfig(epochs=3, batch=32, learning_rate=1e-3, neighbours=0)
WIDTH = 16
WITHOUT_TORCH = """
import sys
from visita.cli import main
try:
    main()
finally:
    print("torch" in sys.modules, file=sys.stderr)
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> str:
    return f"clip:{tiny.clip(tmp_path_factory.mktemp('clip') / 'tiny')}"


@pytest.fixture(scope="module")
def blip(tmp_path_factory) -> str:
    return f"blip:{tiny.blip(tmp_path_factory.mktemp('blip') / 'tiny')}"


def in_one_space(seed: int, images: int) -> PairTensors:
    """Return vectors of pictures and of two texts each, moved apart and not of unit length.

    A text is its picture turned a little, always in the same way, which can be learnt.
    """
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    turn = 0.7 * np.eye(WIDTH) + 0.3 * np.linalg.qr(fixed.normal(size=(WIDTH, WIDTH)))[0]
    pictures = rng.normal(size=(images, WIDTH))
    texts = np.repeat(pictures, 2, axis=0) @ turn + 0.3 * rng.normal(size=(2 * images, WIDTH))
    moves = 3 * fixed.normal(size=(2, WIDTH))
    rows = np.arange(len(texts))
    return PairTensors(
        (4 * (pictures + moves[0]))[:, None].astype(np.float32),
        (7 * (texts + moves[1])).astype(np.float32),
        sparse.csr_array((np.ones(len(rows), bool), (rows // 2, rows))),
    )


def of_base(pairs: PairTensors) -> tuple[np.ndarray, np.ndarray]:
    return unit(pairs.images[:, 0]), unit(pairs.texts)


def test_the_network_starts_from_the_cosines_around_the_means():
    pairs = in_one_space(1, 30)
    network = from_the_means(pairs, seed=0).eval()
    with torch.inference_mode():
        images = network.image(torch.from_numpy(pairs.images)).numpy()
        texts = network.text(torch.from_numpy(pairs.texts)).numpy()
    centred = [rows - rows.mean(0, keepdims=True) for rows in (pairs.images[:, 0], pairs.texts)]
    expected = unit(centred[0]) @ unit(centred[1]).T
    assert np.allclose(images @ texts.T, expected, atol=1e-5)
    # The pictures lie in one corner before, and all around after.
    before, after = (float(np.square(rows.mean(0)).sum()) for rows in (of_base(pairs)[0], images))
    assert before > 0.5 and after < 0.05


def test_identical_vectors_do_not_divide_by_nothing():
    pairs = in_one_space(1, 4)
    same = replace(pairs, images=np.ones_like(pairs.images))
    with torch.inference_mode():
        found = from_the_means(same, seed=0).eval().image(torch.from_numpy(same.images))
    assert bool(found.isfinite().all())


def test_adapting_helps_where_there_is_something_to_learn(clip):
    base = visita.load(clip)
    train, dev, test = (in_one_space(seed, 60) for seed in (1, 2, 3))
    validate = rsum_of_vectors(dev.truth)
    found, history, weight = adapt_frozen("mine", base, train, dev, of_base(dev), validate, CONFIG)
    assert isinstance(found, FusedMatcher) and weight > 0
    assert found.parts[0] is base and found.weights == (1 - weight, weight)
    assert found.dim == 2 * WIDTH and len(history.epochs) == CONFIG.epochs
    tuned = found.parts[1]
    own = tuned.network()
    with torch.inference_mode():
        of_tuned = (
            own.image(torch.from_numpy(test.images)).numpy(),
            own.text(torch.from_numpy(test.texts)).numpy(),
        )
    joined = (found.fuse(list(sides)) for sides in zip(of_base(test), of_tuned, strict=True))
    score = rsum_of_vectors(test.truth)
    assert score(*joined) > score(*of_base(test)) + 20
    # One vector a side holds the sum of both similarities, the base's untouched.
    images, texts = (found.fuse(list(s)) for s in zip(of_base(test), of_tuned, strict=True))
    base_scores, tuned_scores = (a @ b.T for a, b in (of_base(test), of_tuned))
    expected = (1 - weight) * base_scores + weight * tuned_scores
    assert np.allclose(images @ texts.T, expected, atol=1e-5)


def test_the_weight_is_the_best_on_dev_and_the_smallest_of_equals(clip):
    base, train, dev = visita.load(clip), in_one_space(1, 20), in_one_space(2, 10)
    numbers = count()
    rising, _, weight = adapt_frozen(
        "mine", base, train, dev, of_base(dev), lambda *_: float(next(numbers)), CONFIG
    )
    assert weight == MIXES[-1] and isinstance(rising, FusedMatcher)
    found, _, weight = adapt_frozen("mine", base, train, dev, of_base(dev), lambda *_: 50.0, CONFIG)
    assert weight == 0 and found is base


def test_what_cannot_become_better_on_dev_stays_as_it_is(clip):
    base, train = visita.load(clip), in_one_space(1, 40)
    pictures = np.random.default_rng(2).normal(size=(30, WIDTH)).astype(np.float32)
    truth = sparse.csr_array(np.eye(30, dtype=bool))
    perfect = PairTensors(pictures[:, None], pictures, truth)
    score = rsum_of_vectors(truth)
    assert score(*of_base(perfect)) == 600
    found, history, weight = adapt_frozen(
        "mine", base, train, perfect, of_base(perfect), score, CONFIG
    )
    assert weight == 0 and found is base and history.epochs


def test_the_same_seed_gives_the_same_matcher(clip):
    base, train, dev = visita.load(clip), in_one_space(1, 20), in_one_space(2, 10)
    numbers = [count(), count()]
    once, again = (
        adapt_frozen(
            "mine", base, train, dev, of_base(dev), lambda *_, n=n: float(next(n)), CONFIG
        )[0]
        for n in numbers
    )
    assert once.fingerprint() == again.fingerprint()


@pytest.fixture(scope="module")
def adapted(clip, drawn_pairs, tmp_path_factory) -> visita.Trained:
    """Return what adapting to drawn pairs gives where every weight above 0 is taken."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visita.training.adapt.MIXES", (0.5,))
        folder = tmp_path_factory.mktemp("adapted") / "mine"
        return visita.adapt(clip, drawn_pairs, folder, config=CONFIG)


def picture(seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (50, 61, 3), dtype=np.uint8))


def test_an_adapted_checkpoint_is_saved_and_loaded_whole(adapted, clip):
    again = visita.load(adapted.folder)
    assert again.fingerprint() == adapted.matcher.fingerprint()
    assert (again.name, again.threshold) == ("mine", adapted.matcher.threshold)
    columns = RecipeEncoder(again.recipe).encode_pictures([picture(n) for n in range(3)])
    texts = again.open_text_encoder().encode(["a red circle", "blue", "the dog runs " * 9])
    check_matcher(again, columns, texts)
    assert np.array_equal(again.embed_images(columns), adapted.matcher.embed_images(columns))
    assert (adapted.folder / "curve.png").stat().st_size > 1000
    base = visita.load(clip)
    images, words = again.embed_images(columns), again.embed_texts(texts)
    exact = base.embed_images(columns) @ base.embed_texts(texts).T
    tuned = again.parts[1].embed_images(columns) @ again.parts[1].embed_texts(texts).T
    assert np.allclose(images @ words.T, 0.5 * exact + 0.5 * tuned, atol=1e-5)
    assert again.facts["base"] == base.fingerprint()
    assert describe(adapted.folder)["dim"] == 2 * WIDTH


def test_the_comparison_is_of_images_that_took_no_part(adapted, clip, drawn_pairs):
    found = adapted.comparison
    assert (found["split"], found["images"], found["weight"]) == ("test", 18, 0.5)
    held_back = drawn_pairs.take("test")
    for side, matcher in (("before", visita.load(clip)), ("after", adapted.matcher)):
        whole = rsum_of_vectors(held_back.truth.tocsr())
        expected = whole(*vectors(matcher, features_for(matcher, held_back, None)))
        assert found[side]["rsum"]["value"] == pytest.approx(expected)
    gain = found["difference"]["rsum"]
    assert gain["low"] <= gain["value"] <= gain["high"]


def test_where_the_base_stays_it_is_saved_bit_for_bit(clip, drawn_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("visita.training.adapt.MIXES", (0.0,))
    trained = visita.adapt(clip, drawn_pairs, tmp_path / "mine", config=CONFIG)
    assert trained.comparison["weight"] == 0
    assert trained.comparison["difference"]["rsum"]["value"] == 0
    base, again = visita.load(clip), visita.load(tmp_path / "mine")
    assert isinstance(again, DualMatcher) and again.fingerprint() == base.fingerprint()
    assert again.name == "mine" and again.facts["base"] == base.fingerprint()
    features = features_for(base, drawn_pairs, None)
    for one, other in zip(vectors(base, features), vectors(again, features), strict=True):
        assert np.array_equal(one, other)


def test_other_files_of_the_checkpoint_are_refused(clip, drawn_pairs, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(clip.partition(":")[2], checkpoint)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visita.training.adapt.MIXES", (0.5,))
        visita.adapt(f"clip:{checkpoint}", drawn_pairs, tmp_path / "mine", config=CONFIG)
    tiny.set_in(checkpoint / "tokenizer_config.json", None, padding_side="left")
    with pytest.raises(MismatchError, match="other files of"):
        visita.load(tmp_path / "mine")
    # The tuned part alone knows what it was trained with, too.
    manifest = tmp_path / "mine" / "part1"
    with pytest.raises(MismatchError, match="was trained with another clip:"):
        visita.load(manifest)
    shutil.rmtree(checkpoint)
    with pytest.raises(ArtifactError):
        visita.load(tmp_path / "mine")


def test_an_image_text_head_stays_behind_the_adapted_vectors(blip, drawn_pairs, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("visita.training.adapt.MIXES", (0.5,))
        trained = visita.adapt(blip, drawn_pairs, tmp_path / "mine", config=CONFIG)
    assert any("image-text head" in line for line in trained.warnings)
    base, again = visita.load(blip), visita.load(tmp_path / "mine")
    assert isinstance(again, PairedMatcher) and isinstance(again.first, FusedMatcher)
    assert again.fingerprint() == trained.matcher.fingerprint() != base.fingerprint()
    assert (again.name, again.weight, again.depth) == ("mine", base.weight, base.depth)
    some = [picture(n) for n in range(3)]
    columns = RecipeEncoder(again.recipe).encode_pictures(some)
    check_matcher(again, columns, again.open_text_encoder().encode(["a red circle", "blue", "a"]))
    packed = base.reranker.pack_images(columns)
    [text] = base.reranker.pack_texts(["a red circle"])
    assert np.array_equal(again.reranker.pack_images(columns), packed)
    assert np.array_equal(again.reranker.scores(packed, text), base.reranker.scores(packed, text))
    report = visita.evaluate(again, drawn_pairs, split="dev", protocols=("retrieval",))
    assert set(report["protocols"]) == {"retrieval", "first stage"}
    with pytest.raises(ConfigError, match="adapt one of them"):
        visita.adapt(again, drawn_pairs, tmp_path / "twice")


def test_a_head_whose_vectors_stay_is_what_it_was(blip, drawn_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("visita.training.adapt.MIXES", (0.0,))
    visita.adapt(blip, drawn_pairs, tmp_path / "mine", config=CONFIG)
    base, again = visita.load(blip), visita.load(tmp_path / "mine")
    assert isinstance(again, PairedMatcher) and isinstance(again.first, DualMatcher)
    assert again.fingerprint() == base.fingerprint() and again.name == "mine"


def test_scaled_vectors_travel_with_a_head(blip, drawn_pairs, tmp_path):
    base = visita.load(blip)
    assert isinstance(base, PairedMatcher) and isinstance(base.first, DualMatcher)
    dev = features_for(base.first, drawn_pairs.take("dev"), None)
    images, texts = (side[:9].astype(np.float16) for side in vectors(base.first, dev))
    first = ScaledMatcher(
        name="mine", part=base.first, images=images, texts=texts, neighbours=2, least=0.01
    )
    replace(base, name="mine", first=first).save(tmp_path / "mine")
    again = visita.load(tmp_path / "mine")
    assert isinstance(again, PairedMatcher) and isinstance(again.first, ScaledMatcher)
    assert again.fingerprint() == replace(base, first=first).fingerprint() != base.fingerprint()
    for one, other in zip(vectors(first, dev), vectors(again, dev), strict=True):
        assert np.array_equal(one, other)


def test_own_pairs_are_the_bank_of_what_was_adapted(clip, drawn_pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("visita.training.adapt.MIXES", (0.0,))  # nothing but the scaling changes
    base = visita.load(clip)
    dev = features_for(base, drawn_pairs.take("dev"), None)
    rsum = rsum_of_vectors(dev.pairs.truth.tocsr())
    scaled = []
    for seed in range(4):  # the bank is drawn: some are of use on 18 pictures, some are not
        config = CONFIG.model_copy(update={"neighbours": 10, "seed": seed})
        found = visita.adapt(base, drawn_pairs, tmp_path / f"{seed}", config=config).matcher
        if isinstance(found, ScaledMatcher):
            scaled.append(found)
        else:
            assert found.fingerprint() == base.fingerprint()
    assert scaled
    for one in scaled:
        assert rsum(*vectors(one, dev)) > rsum(*vectors(base, dev))
        assert len(one.images) == drawn_pairs.splits()["train"]
        assert one.part.fingerprint() == base.fingerprint()


def test_an_adapted_matcher_is_no_base(adapted, drawn_pairs, tmp_path):
    with pytest.raises(ConfigError, match="adapt one of them"):
        visita.adapt(adapted.folder, drawn_pairs, tmp_path / "twice")


def test_the_command_line_adapts_and_searches_without_torch(clip, drawn_folder, tmp_path):
    words = ("train", "fusion", "--data", f"folder:{drawn_folder}", "--from", clip)
    done = run(*words, "--out", tmp_path / "mine", "--set", "epochs=1", "--json")
    assert done.status == 0, done.err
    told = done.json
    assert told["comparison"]["images"] == 18 and Path(told["curve"]).is_file()
    matcher = visita.load(tmp_path / "mine")
    assert matcher.name == told["name"] == "mine"
    place = (drawn_folder, "--matcher", tmp_path / "mine", "--gallery", tmp_path / "home")
    searched = run("search", "a red circle", *place, "--paths")
    assert searched.status == 0, searched.err
    # That one exported what was not in the cache yet.
    command = (sys.executable, "-c", WITHOUT_TORCH)
    again = process("search", "a red circle", *place, "--paths", command=command)
    assert (again.status, again.err.splitlines()[-1]) == (0, "False")
    assert searched.out == again.out
