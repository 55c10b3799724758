"""Fusing matchers: it gains where they complement each other, and leaves them alone otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from commands import run
from scipy import sparse

import visita
from visita.encoders.colours import FOCAL
from visita.encoders.efficientnet import class_names
from visita.errors import ArtifactError, ConfigError, DataError, UnknownNameError
from visita.evaluation import retrieval
from visita.evaluation.measure import features_for
from visita.evaluation.ranks import mean_ranks
from visita.store.pictures import RecipeEncoder
from visita.testing import check_matcher
from visita.training.fusion import CONCEPTS, concept_matcher
from visita.training.tensors import PairTensors
from visita.training.weights import LearntWeights, learn_weights
from visita.types import FloatArray, Recipe, TextFeatures
from visita.vectors import join, unit

pytestmark = pytest.mark.slow

IMAGES, TEXTS = 80, 2

Parts = list[tuple[FloatArray, FloatArray]]


def truth_of(images: int = IMAGES) -> sparse.csr_array:
    """Return the truth in which each image has two texts of its own."""
    return sparse.csr_array(np.kron(np.eye(images), np.ones((1, TEXTS))).astype(bool))


def views(noises: list[float], dim: int = 12, seed: int = 0) -> Parts:
    """Return parts that each see another side of the same pictures, with so much noise."""
    rng = np.random.default_rng(seed)
    found = []
    for noise in noises:
        images = rng.normal(size=(IMAGES, dim))
        texts = np.repeat(images, TEXTS, axis=0)
        found.append(
            (unit(images), unit(texts + noise * rng.normal(size=texts.shape))),
        )
    return found


def fused(parts: Parts) -> LearntWeights:
    return learn_weights([a for a, _ in parts], [b for _, b in parts], truth_of(), seed=0)


def test_parts_that_complement_each_other_gain():
    parts = views([1.5, 1.5, 1e6], seed=1)
    found = fused(parts)
    assert found.holds and found.gain.low > 10
    assert found.weights[2].value < 0.05 and found.weights[2].low == 0
    for one in found.weights[:2]:
        assert one.low <= one.value <= one.high and 0.3 < one.value < 0.7
    assert np.isclose(sum(found.chosen()), 1)
    alone = [retrieval(a, b, truth_of(), seed=0).rsum.value for a, b in parts]
    assert [one.rsum.value for one in found.alone] == alone
    assert np.isclose(found.gain.value, found.fused.rsum.value - max(alone))


def test_the_best_alone_is_kept_where_nothing_is_gained():
    found = fused(views([1.2, 1e6, 1e6]))
    assert not found.holds and found.best == 0
    assert found.chosen() == (1.0, 0.0, 0.0)


def test_the_gain_is_that_of_weights_from_the_other_half():
    parts = views([2.0, 1.0], seed=3)
    found = fused(parts)
    everywhere = [one.value for one in found.weights]
    images, texts = ([part[side] for part in parts] for side in (0, 1))
    same = retrieval(join(images, everywhere), join(texts, everywhere), truth_of(), seed=0)
    # Other weights, near enough for near ranks, but not the ranks of weights learnt on all.
    ranks, others = mean_ranks(found.fused.text_ranks[0]), mean_ranks(same.text_ranks[0])
    assert not np.array_equal(ranks, others) and np.corrcoef(ranks, others)[0, 1] > 0.8


def test_too_few_images_or_nothing_but_contradiction_is_refused():
    rng = np.random.default_rng(0)
    three = [unit(rng.normal(size=(3, 4)))] * 2, [unit(rng.normal(size=(6, 4)))] * 2
    with pytest.raises(DataError, match="4 dev images"):
        learn_weights(*three, truth_of(3), seed=0)
    [(a, b)] = views([1.0])
    with pytest.raises(DataError, match="None of these matchers"):
        learn_weights([a, a], [-b, -b], truth_of(), seed=0)


def test_names_are_as_many_as_what_they_name():
    for naming in CONCEPTS.values():
        shapes = RecipeEncoder(Recipe(naming.recipe.levels)).columns()
        assert len(naming.names) == sum(shapes.values())
    assert CONCEPTS["class-names"].names == tuple(class_names())
    assert CONCEPTS["colour"].names == (*FOCAL, *FOCAL)


def test_a_naming_is_the_centred_mean_of_its_names():
    rng = np.random.default_rng(0)
    naming = CONCEPTS["colour"]
    text = naming.open_text_encoder()
    shares = rng.dirichlet(np.ones(11), (40, 2)).astype(np.float32)
    columns = {f"colours/{level}": shares[:, i] for i, level in enumerate(("whole", "centre"))}
    texts = rng.normal(size=(9, text.dim)).astype(np.float32)
    train = PairTensors(shares.reshape(40, 1, 22), texts, sparse.csr_array((40, 9), dtype=bool))
    matcher = concept_matcher("colour", naming, train)
    assert matcher.dim == naming.dim and matcher.recipe == naming.recipe
    features = TextFeatures(np.arange(10), texts)
    check_matcher(matcher, columns, features)
    names = unit(text.encode(list(FOCAL)).vectors)
    images = (shares[:, 0] + shares[:, 1]) @ names
    expected = unit(images - images.mean(0)), unit(unit(texts) - unit(texts).mean(0))
    found = matcher.embed_images(columns), matcher.embed_texts(features)
    for one, other in zip(found, expected, strict=True):
        assert ((one * other).sum(1) > 0.999).all()


@pytest.fixture(scope="module")
def matchers(drawn_pairs, recipe, sentences, tmp_path_factory) -> list[Path]:
    """Return two small matchers of drawn pictures, one with another text encoder."""
    folder = tmp_path_factory.mktemp("matchers")
    common = {
        "image_levels": dict(recipe.levels),
        "class_names_weight": 0.0,
        "keywords_per_image": 0,
        "fusion_dim": 24,
        "hidden": 16,
        "dim": 24,
        "epochs": 1,
    }
    texts = {
        "a": {"text_levels": sentences.levels},
        "b": {"text_encoder": "lsa", "topics": 12, "topics_from": "all"},
    }
    for name, more in texts.items():
        visita.train(drawn_pairs, folder / name, config=visita.FusionConfig.of({**common, **more}))
    return [folder / name for name in texts]


@pytest.fixture(scope="module")
def made(matchers, drawn_pairs, tmp_path_factory) -> visita.Fused:
    folder = tmp_path_factory.mktemp("fused")
    return visita.fuse(
        [*matchers, "colour"], drawn_pairs, folder / "all", dim=16, plot=folder / "weights.svg"
    )


def test_what_is_saved_is_what_was_measured(made, drawn_pairs):
    again = visita.load(made.folder)
    assert again.fingerprint() == made.matcher.fingerprint()
    assert again.dim == 16
    report = visita.evaluate(again, drawn_pairs, split="dev")
    assert report["protocols"]["retrieval"] == made.report["protocols"]["retrieval"]
    assert again.facts["fusion"] == json.loads(json.dumps(made.fusion))
    assert again.threshold is not None and again.calibration is not None
    assert made.matcher.words is not None and again.words is not None
    assert np.array_equal(again.words.matrix, made.matcher.words.matrix)
    assert again.words.matrix.shape == (16, 16)


def test_a_word_finds_what_train_calls_so(made, drawn_pairs):
    train = drawn_pairs.take("train")
    red = train.truth.tocsr() @ np.array(["red" in text for text in train.texts], float) > 0
    matcher = made.matcher
    vectors = matcher.embed_texts(matcher.open_text_encoder().encode(["red"]))
    features = features_for(matcher, train, None)
    found = matcher.embed_images(features.columns) @ matcher.words(vectors)[0]
    assert found[red].mean() > found[~red].mean()


def test_weights_gain_and_cost_are_told(made, matchers):
    found = made.fusion
    assert [one["name"] for one in found["parts"]] == [*map(str, matchers), "colour"]
    best = max(found["parts"], key=lambda one: one["rsum"]["value"])
    assert found["best"] == best["name"]
    gain = found["fused"]["value"] - best["rsum"]["value"]
    assert np.isclose(found["gain"]["value"], gain)
    assert found["holds"] == (found["gain"]["low"] > 0)
    weights = [one["weight"]["value"] for one in found["parts"]]
    assert np.isclose(sum(weights), 1)
    kept = weights if found["holds"] else [float(one is best) for one in found["parts"]]
    assert made.matcher.weights == tuple(weight for weight in kept if weight > 0)
    short = found["shortened"]
    assert short["to"] == 16 < short["from"] == sum(part.dim for part in made.matcher.parts)
    assert short["rsum"]["low"] <= short["rsum"]["value"] <= short["rsum"]["high"]
    fitted_on_all = {part.facts.get("topics_from") for part in made.matcher.parts} >= {"all"}
    assert any("topic model" in one for one in made.warnings) == fitted_on_all
    drawing = made.folder.with_name("weights.svg").read_text("utf-8")
    assert "colour" in drawing and "weight, %" in drawing


def test_it_finds_pictures(made, drawn_folder, tmp_path):
    for path in sorted(drawn_folder.glob("0000?.*[gt]")):
        (tmp_path / path.name).symlink_to(path)
    gallery = visita.Gallery.open(tmp_path, matcher=made.folder, home=tmp_path / "home")
    gallery.sync()
    matches = gallery.search("a red star on a blue background", 3)
    assert len(matches) == 3 and all(0 <= match.probability <= 1 for match in matches)
    assert len(visita.recommend([gallery], "A red star. A blue square.", k=2)) == 2


def test_it_is_adapted_through_its_parts(made, drawn_pairs, tmp_path):
    with pytest.raises(ConfigError, match="adapt one of them"):
        visita.adapt(made.folder, drawn_pairs, tmp_path / "adapted")


def test_what_cannot_be_fused_is_refused(matchers, drawn_pairs, tmp_path):
    a, b = matchers

    def refused(error: type[Exception], words: str, *given: object, **more: object) -> None:
        with pytest.raises(error, match=words):
            visita.fuse(given, drawn_pairs, tmp_path / "out", **more)
        assert not any(tmp_path.iterdir())

    refused(ConfigError, "two matchers or more", a)
    refused(ConfigError, "given twice", a, b, str(a))
    refused(ConfigError, "given twice, as colour and colour", "colour", a, "colour")
    refused(UnknownNameError, "No matcher 'color'", a, "color")
    refused(ConfigError, "1 to 1,024", a, b, dim=1025)
    refused(ConfigError, "1 to 1,024", a, b, dim=0)
    refused(ConfigError, r"\.png, \.svg, \.pdf", a, b, plot=Path("weights.jpg"))
    with pytest.raises(ArtifactError, match="holds other files"):
        visita.fuse(matchers, drawn_pairs, a.parent)


def test_the_command_prints_the_same(matchers, drawn_folder, made, tmp_path):
    words = ("fuse", *matchers, "colour", "--data", f"folder:{drawn_folder}")
    done = run(*words, "--out", tmp_path / "one", "--dim", 16, "--json")
    assert done.status == 0, done.err
    facts = done.json
    assert facts["parts"] == json.loads(json.dumps(made.fusion["parts"]))
    assert facts["fingerprint"] == visita.load(tmp_path / "one").fingerprint()
    shown = run(*words, "--out", tmp_path / "two", "--plot", tmp_path / "w.png").out
    assert (tmp_path / "w.png").read_bytes().startswith(b"\x89PNG")
    assert f"matcher: {tmp_path / 'two'}" in shown and "shortened" not in shown
    for one in facts["parts"]:
        value, low, high = (f"{one['weight'][key]:.3f}" for key in ("value", "low", "high"))
        assert f"{value} [{low}, {high}]" in shown
    gain = f"{facts['gain']['value']:+.1f} [{facts['gain']['low']:+.1f}, "
    assert f"against the best alone:      {gain}" in shown
