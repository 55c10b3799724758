"""Fused matchers: the weighted sum of their parts, saved and loaded to the bit."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forging import GONE, forge

from visita.data.decode import decode
from visita.encoders.minilm import MiniLM
from visita.encoders.topics.lsa import LSA
from visita.errors import ArtifactError
from visita.kernels.weights import reduction, second_moments
from visita.matchers import load
from visita.matchers.combine import BASIS, FusedMatcher
from visita.matchers.embed import JointMatcher, encoder_fingerprints
from visita.matchers.probability import Calibration
from visita.networks.fusion import JointSpace
from visita.store.pictures import RecipeEncoder
from visita.testing import check_matcher
from visita.types import Recipe, TextEncoder, TextFeatures

pytestmark = pytest.mark.slow

LITE = "efficientnet-lite0"
WIDTHS = {"block10:avg": 112, "head:avg": 1280}


def drawn(recipe: Recipe, text: TextEncoder, dim: int, seed: int) -> JointMatcher:
    """Return a matcher of one fusion network with drawn weights."""
    images = sum(WIDTHS[level] for level in recipe.levels[LITE])
    part = {
        "network": "fusion",
        "arguments": {"dim": dim, "hidden": 8},
        "image_span": [0, images],
        "text_span": [0, text.dim],
        "weight": 1.0,
    }
    space = {"image_features": images, "text_features": text.dim, "parts": [part], "dim": dim}
    rng = np.random.default_rng(seed)
    tensors = {
        name: (rng.normal(0, 0.1, value.shape) + ("scale" in name)).astype(np.float16)
        for name, value in JointSpace(**space).state_dict().items()
    }
    return JointMatcher(
        name=f"drawn{seed}",
        recipe=recipe,
        text_encoder=text.name,
        text_levels=text.levels,
        space=space,
        tensors=tensors,
        encoders=encoder_fingerprints(recipe, text),
        topic_model=text if isinstance(text, LSA) else None,
    )


@pytest.fixture(scope="module")
def parts(sentences) -> tuple[JointMatcher, ...]:
    """Return three matchers that differ in image levels, views and text encoders."""
    topics = LSA.fit(["a cat", "a cat and coffee", "an astronaut", "coffee and a book"], 3, 0)
    return (
        drawn(Recipe({LITE: ("head:avg",)}), MiniLM(("layer6",)), 24, 1),
        drawn(Recipe({LITE: ("head:avg", "block10:avg")}, mirror=True), sentences, 32, 2),
        drawn(Recipe({LITE: ("block10:avg",)}), topics, 16, 3),
    )


@pytest.fixture(scope="module")
def fused(parts) -> FusedMatcher:
    return FusedMatcher(
        name="fused",
        parts=parts,
        weights=(0.5, 0.3, 0.2),
        threshold=0.25,
        calibration=Calibration(1.5, 20.0, -0.75),
        facts={"note": "naïve"},
    )


@pytest.fixture(scope="module")
def columns(recipe, photographs) -> Mapping[str, np.ndarray]:
    return RecipeEncoder(recipe).encode_pictures([decode(path) for path in photographs])


@pytest.fixture(scope="module")
def texts(fused) -> TextFeatures:
    encoder = fused.open_text_encoder()
    return encoder.encode(["an astronaut", "a cat and a book", "coffee " * 600])


@pytest.fixture(scope="module")
def short(fused, columns, texts) -> FusedMatcher:
    vectors = fused.embed_images(columns), fused.embed_texts(texts)
    basis = reduction(*(second_moments([side]) for side in vectors), 6)
    return replace(fused, basis=basis.astype(np.float16))


@pytest.fixture
def saved(short, tmp_path) -> Path:
    short.save(tmp_path / "fused")
    return tmp_path / "fused"


def test_the_contract(fused, short, columns, texts):
    check_matcher(fused, columns, texts)
    check_matcher(short, columns, texts)


def test_the_score_is_the_weighted_sum_of_the_parts(fused, parts, columns, texts):
    some = ["an astronaut", "a cat and a book", "coffee " * 600]
    expected = sum(
        weight
        * part.embed_images(columns)
        @ part.embed_texts(part.open_text_encoder().encode(some)).T
        for part, weight in zip(parts, fused.weights, strict=True)
    )
    assert np.allclose(
        fused.embed_images(columns) @ fused.embed_texts(texts).T, expected, atol=1e-5
    )
    assert fused.dim == 24 + 32 + 16


def test_it_reads_what_any_part_reads_once(fused):
    assert fused.recipe == Recipe({LITE: ("head:avg", "block10:avg")}, mirror=True)
    assert fused.text_encoder == "minilm-l6+lsa"
    assert fused.text_levels == ("minilm-l6/layer3", "minilm-l6/layer6", "lsa/topics")
    assert fused.open_text_encoder().dim == 768 + 3


def test_shortened_its_scores_are_near(fused, short, columns, texts):
    assert short.dim == 6 and short.embed_images(columns).shape == (3, 6)
    # Three pictures and three texts span six dimensions, so nothing is lost but precision.
    scores = [one.embed_images(columns) @ one.embed_texts(texts).T for one in (fused, short)]
    assert np.allclose(*scores, atol=2e-3)


def test_a_part_may_be_fused_itself(fused, parts, columns, texts, tmp_path):
    inner = FusedMatcher(name="inner", parts=parts[:2], weights=(0.625, 0.375))
    outer = FusedMatcher(name="outer", parts=(inner, parts[2]), weights=(0.8, 0.2))
    outer.save(tmp_path / "outer")
    again = load(tmp_path / "outer")
    assert again.fingerprint() == outer.fingerprint()
    assert again.open_text_encoder().fingerprint() == fused.open_text_encoder().fingerprint()
    for one in (outer, again):
        assert np.allclose(one.embed_images(columns), fused.embed_images(columns), atol=1e-6)
        assert np.allclose(one.embed_texts(texts), fused.embed_texts(texts), atol=1e-6)


def test_saved_and_loaded_it_is_the_same_to_the_bit(short, saved, columns, texts):
    again = load(saved)
    assert isinstance(again, FusedMatcher)
    assert again.fingerprint() == short.fingerprint()
    assert np.array_equal(again.embed_images(columns), short.embed_images(columns))
    assert np.array_equal(again.embed_texts(texts), short.embed_texts(texts))
    for name in ("name", "weights", "threshold", "calibration", "facts", "recipe", "text_levels"):
        assert getattr(again, name) == getattr(short, name)
    again.save(saved)
    assert load(saved).fingerprint() == short.fingerprint()
    assert load(saved / "part2").fingerprint() == short.parts[2].fingerprint()


def test_probability_is_that_of_its_own_calibration(fused):
    scores = np.array([0.1, 0.9], np.float32)
    expected = fused.calibration.probability(scores, 500)
    assert np.array_equal(fused.probability(scores, 500), expected)
    assert fused.parts[0].probability(scores, 500) is None


def test_fingerprints_follow_what_decides_the_vectors(fused, short, parts):
    found = {
        fused.fingerprint(),
        short.fingerprint(),
        replace(fused, weights=(0.5, 0.2, 0.3)).fingerprint(),
        replace(fused, parts=(parts[1], parts[0], parts[2])).fingerprint(),
        replace(short, basis=short.basis[:, ::-1]).fingerprint(),
    }
    assert len(found) == 5
    assert replace(fused, name="other", threshold=None).fingerprint() == fused.fingerprint()


@pytest.mark.parametrize("name", [BASIS, "part1/weights.safetensors", "part2/text/manifest.json"])
def test_a_damaged_file_is_named(saved, name):
    content = bytearray((saved / name).read_bytes())
    content[-2] ^= 1
    (saved / name).write_bytes(content)
    with pytest.raises(ArtifactError, match="is missing or changed"):
        load(saved)


def test_a_part_that_is_missing_is_named(saved):
    shutil.rmtree(saved / "part1")
    with pytest.raises(ArtifactError, match="part1"):
        load(saved)
    forge(saved)
    with pytest.raises(ArtifactError, match=r"part1 is not a saved matcher"):
        load(saved)


@pytest.mark.parametrize(
    "changes",
    [
        *({key: GONE} for key in ("name", "weights", "facts", "threshold", "shortened")),
        {"weights": [0.5, 0.5, 0.5]},
        {"weights": [1.2, 0.3, -0.5]},
        {"weights": [0.6, 0.4]},
        {"weights": []},
        {"weights": ["a", "b", "c"]},
        {"weights": [float("nan"), 0.5, 0.5]},
        {"weights": 3},
        {"calibration": {"intercept": 1.0}},
        {"files": {"../outside": "0"}},
        {"visita": "LSA"},
    ],
    ids=str,
)
def test_a_manifest_without_sense_is_refused(saved, changes):
    forge(saved, **changes)
    with pytest.raises(ArtifactError):
        load(saved)


def test_another_kind_is_refused(saved, parts, tmp_path):
    parts[0].save(tmp_path / "joint")
    with pytest.raises(ArtifactError, match="holds a matcher, not a fused matcher"):
        FusedMatcher.load(tmp_path / "joint")
    with pytest.raises(ArtifactError, match="holds a fused matcher, not a matcher"):
        JointMatcher.load(saved)
    with pytest.raises(ArtifactError, match="not a matcher"):
        load(saved / "part2" / "text")
