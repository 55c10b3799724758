"""Matchers: saved and loaded to the bit, and refused where they do not belong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from forging import GONE, forge

from visita.data.decode import decode
from visita.encoders.engine import Graph
from visita.encoders.minilm import MiniLM
from visita.errors import ArtifactError, MismatchError, UnknownNameError
from visita.matchers import SHIPPED, load, shipped_folder
from visita.matchers.embed import ROWS, WEIGHTS, JointMatcher, encoder_fingerprints, stack_columns
from visita.matchers.probability import Calibration
from visita.networks.fusion import JointSpace
from visita.store.pictures import RecipeEncoder
from visita.testing import check_matcher
from visita.types import Recipe, TextFeatures

pytestmark = pytest.mark.slow


def space_of(recipe: Recipe, dim: int) -> dict[str, Any]:
    encoder = RecipeEncoder(recipe)
    widths = [encoder.columns()[f"efficientnet-lite0/{one}"] for one in ("block10:avg", "head:avg")]
    fusion = sum(widths)
    parts = [
        {
            "network": "fusion",
            "arguments": {"dim": 32, "hidden": 16},
            "image_span": [0, fusion],
            "text_span": [0, 768],
            "weight": 0.85,
        },
        {
            "network": "class-names",
            "arguments": {},
            "image_span": [fusion, fusion + 1000],
            "text_span": [384, 768],
            "weight": 0.15,
        },
    ]
    whole = {"image_features": fusion + 1000, "text_features": 768}
    return {**whole, "parts": parts, "dim": dim}


def make(recipe: Recipe, seed: int = 0, dim: int = 48, **changes: Any) -> JointMatcher:
    """Return a matcher with drawn weights."""
    space = space_of(recipe, dim)
    rng = np.random.default_rng(seed)
    tensors = {
        name: np.abs(rng.normal(0, 0.1, value.shape) + ("scale" in name)).astype(np.float16)
        if "scale" in name
        else rng.normal(0, 0.1, value.shape).astype(np.float16)
        for name, value in JointSpace(**space).state_dict().items()
    }
    matcher = JointMatcher(
        name="drawn",
        recipe=recipe,
        text_encoder="minilm-l6",
        text_levels=("layer3", "layer6"),
        space=space,
        tensors=tensors,
        encoders=encoder_fingerprints(recipe, MiniLM()),
        threshold=0.25,
        calibration=Calibration(1.5, 20.0, -0.75),
        facts={"config": {"seed": 3}, "note": "naïve"},
    )
    return replace(matcher, **changes)


@pytest.fixture(scope="module")
def matcher(recipe) -> JointMatcher:
    return make(recipe)


@pytest.fixture(scope="module")
def columns(recipe, photographs) -> Mapping[str, np.ndarray]:
    return RecipeEncoder(recipe).encode_pictures([decode(path) for path in photographs])


@pytest.fixture(scope="module")
def texts(sentences) -> TextFeatures:
    return sentences.encode(["an astronaut", "a cat", "coffee " * 600, ""])


@pytest.fixture
def saved(matcher, tmp_path) -> Path:
    matcher.save(tmp_path / "matcher")
    return tmp_path / "matcher"


def test_the_contract(matcher, columns, texts):
    check_matcher(matcher, columns, texts)


def test_vectors_are_those_of_the_torch_network(matcher, recipe, columns, texts):
    network = matcher.network()
    with torch.inference_mode():
        images = network.image(torch.from_numpy(stack_columns(columns, recipe))).numpy()
        words = network.text(torch.from_numpy(texts.pooled())).numpy()
    assert isinstance(matcher._image_runner, Graph) and isinstance(matcher._text_runner, Graph)
    assert ((images * matcher.embed_images(columns)).sum(1) >= 0.9999).all()
    assert ((words * matcher.embed_texts(texts)).sum(1) >= 0.9999).all()


def test_a_text_is_the_mean_of_its_passages(matcher, texts):
    start, stop = texts.offsets[2:4]
    assert stop - start > 2
    mean = texts.vectors[start:stop].astype(np.float64).mean(0, keepdims=True).astype(np.float32)
    one = TextFeatures(np.array([0, 1]), mean)
    assert np.allclose(matcher.embed_texts(one)[0], matcher.embed_texts(texts)[2], atol=1e-5)


def test_columns_are_stacked_by_view(matcher, recipe, columns):
    stacked = matcher.stack({**columns, "other/column": np.zeros((3, 5), np.float32)})
    assert stacked.shape == (3, 2, matcher.space["image_features"])
    for row in range(3):
        for view, suffix in enumerate(("", "@mirror")):
            parts = [
                columns[f"efficientnet-lite0/{level}{suffix}"][row]
                for level in recipe.levels["efficientnet-lite0"]
            ]
            assert np.array_equal(stacked[row, view], np.concatenate(parts))


def test_many_rows_are_embedded_like_few(matcher, columns):
    rows = np.arange(2 * ROWS + 5) % 3
    vectors = matcher.embed_images({name: values[rows] for name, values in columns.items()})
    assert np.allclose(vectors, matcher.embed_images(columns)[rows], atol=1e-5)


def test_a_missing_column_is_named(matcher, columns):
    lacking = {name: values for name, values in columns.items() if "head" not in name}
    with pytest.raises(MismatchError, match=r"head:avg, .*head:avg@mirror: extract"):
        matcher.embed_images(lacking)


def test_saved_and_loaded_it_is_the_same_to_the_bit(matcher, saved, columns, texts):
    again = load(saved)
    assert again.fingerprint() == matcher.fingerprint()
    assert np.array_equal(again.embed_images(columns), matcher.embed_images(columns))
    assert np.array_equal(again.embed_texts(texts), matcher.embed_texts(texts))
    assert again.tensors.keys() == matcher.tensors.keys()
    for name, tensor in matcher.tensors.items():
        assert again.tensors[name].dtype == np.float16
        assert np.array_equal(again.tensors[name], tensor)
    for name in ("name", "recipe", "text_encoder", "text_levels", "encoders", "dim"):
        assert getattr(again, name) == getattr(matcher, name)
    for name in ("threshold", "calibration", "facts"):
        assert getattr(again, name) == getattr(matcher, name)
    again.save(saved)
    assert load(saved).fingerprint() == matcher.fingerprint()


def test_without_threshold_and_calibration_it_has_no_probability(recipe, tmp_path):
    bare = make(recipe, threshold=None, calibration=None)
    bare.save(tmp_path / "bare")
    again = load(str(tmp_path / "bare"))
    assert again.threshold is None and again.calibration is None
    assert again.probability(np.ones(3, np.float32), 10) is None


def test_probability_is_that_of_its_calibration(matcher):
    scores = np.array([[0.1, 0.9]], np.float32)
    expected = matcher.calibration.probability(scores, 500)
    assert np.array_equal(matcher.probability(scores, 500), expected)


def test_further_files_are_saved_beside(matcher, tmp_path):
    matcher.save(
        tmp_path / "m", beside=lambda draft: (draft / "note.txt").write_text("seen", "utf-8")
    )
    assert (tmp_path / "m" / "note.txt").read_text("utf-8") == "seen"
    assert set(json.loads((tmp_path / "m" / "manifest.json").read_text("utf-8"))["files"]) == {
        *("note.txt", WEIGHTS)
    }


def test_fingerprints_follow_what_decides_the_vectors(matcher, recipe):
    first = matcher.fingerprint()
    assert make(recipe, name="other", threshold=None, facts={}).fingerprint() == first
    tensors = dict(matcher.tensors)
    name = "networks.0.text_tower.linear"
    tensors[name] = np.nextafter(tensors[name], np.float16(9))
    plain = Recipe(recipe.levels, mirror=False)
    others = [
        make(recipe, seed=1),
        replace(matcher, tensors=tensors),
        replace(matcher, recipe=plain),
        replace(matcher, text_levels=("layer6", "layer3")),
        replace(matcher, encoders={**matcher.encoders, "minilm-l6": "0"}),
    ]
    assert len({first, *(other.fingerprint() for other in others)}) == 6


def test_two_matchers_of_one_name_have_graphs_of_their_own(matcher, recipe, texts):
    other = make(recipe, seed=1)
    cosines = (other.embed_texts(texts) * matcher.embed_texts(texts)).sum(1)
    assert (np.abs(cosines) < 0.9).all()


def test_changed_weights_are_refused(saved):
    content = bytearray((saved / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (saved / WEIGHTS).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"weights\.safetensors is missing or changed"):
        load(saved)


def test_features_of_another_encoder_are_refused(saved, matcher):
    for name in matcher.encoders:
        forge(saved, encoders={**matcher.encoders, name: "0123456789abcdef"})
        with pytest.raises(MismatchError, match=f"another {name} .0123456789abcdef"):
            load(saved)


def test_an_encoder_that_is_not_installed_is_named(saved, matcher):
    levels = {"efficientnet-lite9": ["head:avg"]}
    forge(saved, recipe={"levels": levels, "mirror": True})
    with pytest.raises(UnknownNameError, match="No image encoder is called 'efficientnet-lite9'"):
        load(saved)
    assert matcher.recipe.levels


@pytest.mark.parametrize(
    "changes",
    [
        *({key: GONE} for key in ("name", "recipe", "space", "encoders", "facts", "threshold")),
        {"recipe": {"levels": {}}},
        {"recipe": ["levels"]},
        {"calibration": {"intercept": 1.0}},
        {"calibration": {"intercept": "x", "score_weight": 1, "size_weight": 1}},
    ],
    ids=str,
)
def test_a_manifest_without_sense_is_refused(saved, changes):
    forge(saved, **changes)
    with pytest.raises(ArtifactError):
        load(saved)


def test_a_manifest_that_vouches_for_no_weights_is_refused(saved):
    (saved / WEIGHTS).unlink()
    forge(saved, files={})
    with pytest.raises(ArtifactError):
        load(saved)


def test_weights_that_are_no_weights_are_refused(matcher, tmp_path):
    matcher.save(tmp_path / "m", beside=lambda draft: (draft / WEIGHTS).write_bytes(b"junk" * 9))
    with pytest.raises(ArtifactError, match=r"weights\.safetensors cannot be read"):
        load(tmp_path / "m")


def test_a_name_is_shipped_or_a_folder(tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'visita-small'"):
        load("visita-smal")
    with pytest.raises(UnknownNameError, match="neither a folder nor a shipped name"):
        load(tmp_path / "nothing")
    with pytest.raises(ArtifactError, match="is not a saved matcher"):
        load(tmp_path)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_is_shipped_is_whole(name):
    shipped = load(name)
    assert shipped.name == name and shipped.dim <= 512
    assert shipped.threshold is not None and shipped.calibration is not None
    assert shipped.keyword_calibration is not None
    rng = np.random.default_rng(0)
    columns = {
        name: np.abs(rng.normal(0, 1, (4, shape) if isinstance(shape, int) else (4, *shape)))
        for name, shape in RecipeEncoder(shipped.recipe).columns().items()
    }
    values = {name: column.astype(np.float32) for name, column in columns.items()}
    texts = shipped.open_text_encoder().encode(["a dog", "two boys run on a beach", "snow", "red"])
    check_matcher(shipped, values, texts)


def test_all_that_is_shipped_is_small():
    files = [file for name in SHIPPED for file in shipped_folder(name).rglob("*")]
    assert 20e6 < sum(file.stat().st_size for file in files if file.is_file()) < 40e6


EMBED = """
import sys
import numpy as np
from visita.matchers import load
from visita.types import TextFeatures
matcher = load(sys.argv[1])
with np.load(sys.argv[2]) as given:
    texts = TextFeatures(given["offsets"], given["vectors"])
    columns = {name: given[name] for name in matcher.recipe.columns()}
images, words = matcher.embed_images(columns), matcher.embed_texts(texts)
assert not {"torch", "transformers"} & set(sys.modules)
np.savez(sys.argv[3], images=images, words=words)
"""


def test_once_exported_it_needs_no_torch(matcher, saved, columns, texts, tmp_path):
    images, words = matcher.embed_images(columns), matcher.embed_texts(texts)
    given, out = tmp_path / "given.npz", tmp_path / "out.npz"
    np.savez(given, offsets=texts.offsets, vectors=texts.vectors, **columns)
    subprocess.run([sys.executable, "-c", EMBED, str(saved), str(given), str(out)], check=True)
    with np.load(out) as found:
        assert np.array_equal(found["images"], images)
        assert np.array_equal(found["words"], words)
