"""The fusion paper's training, and matchers that carry the topic model of their texts."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

import visita
from visita.data import PairSet
from visita.encoders.topics.lsa import LSA
from visita.encoders.weights import restored
from visita.errors import ArtifactError, ConfigError, DataError, MismatchError
from visita.matchers import load
from visita.matchers.combine import ScaledMatcher
from visita.networks.fusion import MultiLevel
from visita.store.extract import PairFeatures, pair_features
from visita.testing import check_matcher
from visita.training.batches import TripletBatch, triplet_batches
from visita.training.config import AdaptConfig, FusionConfig, PaperConfig
from visita.training.paper import _losses, train_paper
from visita.training.tensors import PairTensors
from visita.training.vectors import text_encoder_of
from visita.types import FloatArray, Recipe

pytestmark = pytest.mark.slow

LEVELS = {"efficientnet-lite0": ("block10:avg", "head:avg", "classes")}
SMALL = {"image_levels": LEVELS, "mirror": True, "topics": 12, "hidden": 64, "batch": 16}
UNKNOWN = "xylophones quizzically"


def config(**changes: object) -> PaperConfig:
    return PaperConfig.of({**SMALL, "epochs": 8, **changes})


@pytest.fixture(scope="module")
def lsa(drawn_pairs) -> LSA:
    return text_encoder_of(config(), drawn_pairs)


@pytest.fixture(scope="module")
def features(drawn_pairs, recipe, lsa) -> PairFeatures:
    return pair_features(drawn_pairs, recipe, lsa)


@pytest.fixture(scope="module")
def tensors(features, recipe) -> dict[str, PairTensors]:
    return {split: PairTensors.of(features.take(split), recipe) for split in ("train", "dev")}


@pytest.fixture(scope="module")
def trained(drawn_pairs, tmp_path_factory) -> visita.Trained:
    return visita.train(drawn_pairs, tmp_path_factory.mktemp("paper") / "paper", config=config())


def many_to_many() -> sparse.csr_array:
    """Return 12 images and 30 texts: one to four texts an image, some texts of two images."""
    rng = np.random.default_rng(0)
    dense = np.zeros((12, 30), bool)
    dense[np.arange(30) % 12, np.arange(30)] = True
    dense[rng.integers(0, 12, 6), rng.integers(0, 30, 6)] = True
    return sparse.csr_array(dense)


def drawn(size: int = 5, seed: int = 0) -> list[TripletBatch]:
    return list(triplet_batches(many_to_many(), size, 2, np.random.default_rng(seed)))


@pytest.mark.parametrize("size", [2, 5, 12, 100])
def test_every_image_comes_once_with_all_its_texts(size):
    truth = many_to_many().toarray()
    some = drawn(size)
    images = np.concatenate([batch.images for batch in some])
    assert sorted(images) == list(range(12))
    for batch in some:
        own = truth[batch.images]
        assert set(batch.texts) == set(np.flatnonzero(own.any(0) & ~own.all(0)))
        assert np.array_equal(batch.true, truth[np.ix_(batch.images, batch.texts)])
        assert set(batch.views) <= {0, 1} and len(batch.views) == len(batch.images)


def test_a_negative_is_any_image_of_the_batch_that_does_not_match():
    seen: dict[tuple[int, ...], set[int]] = {}
    for seed in range(200):
        (batch,) = drawn(12, seed)
        for place, text in enumerate(batch.texts):
            image = batch.images[batch.negatives[place]]
            assert not batch.true[batch.negatives[place], place]
            seen.setdefault(int(text), set()).add(int(image))
    truth = many_to_many().toarray()
    assert seen == {text: set(np.flatnonzero(~truth[:, text])) for text in range(30)}


def test_a_text_that_matches_the_whole_batch_teaches_nothing():
    truth = np.array([[1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 0]], bool)
    (batch,) = triplet_batches(sparse.csr_array(truth), 3, 1, np.random.default_rng(0))
    assert batch.texts.tolist() == [1, 2]
    all_true = sparse.csr_array(np.ones((3, 2), bool))
    assert list(triplet_batches(all_true, 3, 1, np.random.default_rng(0))) == []


def test_batches_follow_the_seed():
    first, again, other = drawn(seed=1), drawn(seed=1), drawn(seed=2)
    for name in ("images", "texts", "negatives"):
        one, same, not_same = (
            np.concatenate([getattr(batch, name) for batch in some])
            for some in (first, again, other)
        )
        assert np.array_equal(one, same)
        assert one.shape != not_same.shape or not np.array_equal(one, not_same)


def test_the_loss_is_the_papers_with_the_weights_added(tensors):
    settings = config(l2=0.01, margin=0.4, seed=3)
    torch.manual_seed(0)
    train = tensors["train"]
    network = MultiLevel(train.images.shape[-1], 12, hidden=8).double()
    doubled = replace(train, images=train.images.astype(float), texts=train.texts.astype(float))
    loss, chance = next(_losses(network, doubled, settings)())

    batch = next(triplet_batches(train.truth, settings.batch, 2, np.random.default_rng(3)))
    unit = []
    for image, view in zip(batch.images, batch.views, strict=True):
        with torch.inference_mode():
            vector = network.mlp(torch.from_numpy(doubled.images[image, view])).numpy()
        unit.append(vector / np.linalg.norm(vector))
    total, triplets = 0.0, 0
    for place, text in enumerate(batch.texts):
        topics = doubled.texts[text] / np.linalg.norm(doubled.texts[text])
        for i in np.flatnonzero(batch.true[:, place]):
            away = unit[batch.negatives[place]] @ topics
            total += max(0.0, 0.4 - unit[i] @ topics + away)
            triplets += 1
    matrices = [p.detach().numpy() for name, p in network.named_parameters() if "weight" in name]
    weights = 0.01 * sum(float((matrix**2).sum()) for matrix in matrices)
    assert loss.item() == pytest.approx(total + weights, rel=1e-9)
    assert chance == pytest.approx(0.4 * triplets + weights, rel=1e-9)


def test_it_learns_from_pairs(trained, drawn_pairs):
    report = visita.evaluate(trained.matcher, drawn_pairs, split="dev")
    # By chance 10 of 18 images: 55.6 %.
    assert report["protocols"]["retrieval"]["text_to_image"]["R@10"]["value"] > 75
    [seen] = report["warnings"]
    assert "was chosen and calibrated on" in seen
    [one] = trained.warnings
    assert "fewer than 20 nouns" in one
    facts = trained.matcher.facts
    assert PaperConfig.of(facts["config"]) == config()
    assert facts["topics_from"] == "train"
    assert facts["dev_rsum"][-1] > facts["dev_rsum"][0]


def recall_of(truth: sparse.csr_array):
    dense = truth.toarray()

    def validate(images: FloatArray, texts: FloatArray) -> float:
        scores = images @ texts.T
        return float(np.mean([dense[i, np.argmax(row)] for i, row in enumerate(scores)]))

    return validate


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tensors, lsa):
    validate = recall_of(tensors["dev"].truth)
    prints = [
        train_paper(
            *("one", tensors["train"], tensors["dev"], validate),
            *(config(epochs=1, seed=seed), lsa),
        )[0].fingerprint()
        for seed in (1, 1, 2)
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("standardise", [False, True])
def test_features_come_as_they_are_unless_asked_otherwise(tensors, lsa, standardise):
    settings = config(epochs=1, standardise=standardise)
    matcher, _ = train_paper("one", tensors["train"], tensors["dev"], rising(), settings, lsa)
    rows = tensors["train"].images.reshape(-1, tensors["train"].images.shape[-1])
    kept = rows.std(0) > 1e-6
    mean, scale = (rows.mean(0), rows.std(0)) if standardise else (0 * kept, np.ones(len(kept)))
    assert np.allclose(matcher.tensors["networks.0.mean"], mean, rtol=2e-3, atol=1e-5)
    found = matcher.tensors["networks.0.scale"]
    assert np.allclose(found[kept], scale[kept], rtol=2e-3, atol=1e-5) and (found[~kept] == 1).all()


def test_weights_that_count_too_much_leave_nothing_to_learn(tensors, lsa):
    def spread(l2: float) -> float:
        matcher, _ = train_paper(
            *("one", tensors["train"], tensors["dev"], rising()),
            *(config(epochs=3, l2=l2), lsa),
        )
        return float(np.abs(restored(matcher.tensors)["networks.0.mlp.0.weight"]).max())

    assert 3 * spread(1e4) < spread(0.0)


def rising():
    """Return a validation that likes each try better than the last."""
    scores = iter(range(100))
    return lambda *_: float(next(scores))


def test_the_matcher_carries_its_topic_model(trained, features):
    matcher, again = trained.matcher, load(trained.folder)
    assert (matcher.text_encoder, matcher.text_levels) == ("lsa", ("topics",))
    assert again.fingerprint() == matcher.fingerprint()
    encoder = again.open_text_encoder()
    assert encoder.fingerprint() == matcher.encoders["lsa"]
    assert again.topic_model.words == matcher.topic_model.words
    dev = features.take("dev")
    texts = encoder.encode(dev.pairs.texts)
    check_matcher(again, dev.columns, texts)
    assert np.array_equal(again.embed_texts(texts), matcher.embed_texts(dev.texts))
    assert np.array_equal(again.embed_images(dev.columns), matcher.embed_images(dev.columns))
    again.save(trained.folder)
    assert load(trained.folder).fingerprint() == matcher.fingerprint()


def test_a_text_without_known_words_is_zero_not_nan(trained):
    matcher = trained.matcher
    vectors = matcher.embed_texts(matcher.open_text_encoder().encode([UNKNOWN, "a red circle"]))
    assert (vectors[0] == 0).all()
    assert np.linalg.norm(vectors[1]) == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", ["vocabulary.json", "arrays.safetensors", "manifest.json"])
def test_a_topic_model_that_was_changed_is_refused(trained, tmp_path, name):
    trained.matcher.save(tmp_path / "m")
    path = tmp_path / "m" / "text" / name
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(ArtifactError, match=f"{name} is missing or changed"):
        load(tmp_path / "m")


def test_a_topic_model_of_other_texts_is_refused(trained, tmp_path):
    other = LSA.fit(["a red dog", "a red cat", "a blue dog", "a blue cat"] * 3, 2, seed=0)
    replace(trained.matcher, topic_model=other).save(tmp_path / "m")
    with pytest.raises(MismatchError, match="trained with another lsa"):
        load(tmp_path / "m")
    assert replace(trained.matcher, topic_model=None).fingerprint() == trained.matcher.fingerprint()


def test_search_finds_with_words_of_its_own(trained, drawn_folder, tmp_path):
    gallery = visita.Gallery.open(drawn_folder, matcher=trained.folder, home=tmp_path)
    gallery.sync()
    found = gallery.search("a red circle on a blue background", 20)
    captions = [match.path.with_suffix(".txt").read_text("utf-8") for match in found]
    red = [path.read_text("utf-8") for path in drawn_folder.glob("*.txt")]
    share = np.mean(["red circle" in text for text in captions])
    assert share > 2 * np.mean(["red circle" in text for text in red])
    with pytest.raises(DataError):
        gallery.search(UNKNOWN)


def test_the_papers_matcher_can_be_adapted(trained, drawn_pairs, tmp_path):
    settings = AdaptConfig(epochs=4, batch=32, learning_rate=3e-3)
    tuned = visita.adapt(trained.folder, drawn_pairs, tmp_path / "tuned", config=settings)
    matcher = load(tuned.folder)
    assert tuned.comparison["weight"] > 0 and matcher.dim == 24
    assert matcher.open_text_encoder().fingerprint() == trained.matcher.encoders["lsa"]
    assert matcher.facts["topics_from"] == "train"
    assert matcher.facts["base"] == trained.matcher.fingerprint()


def fusion(**changes: object) -> FusionConfig:
    small = {"fusion_dim": 8, "hidden": 16, "dim": 16, "epochs": 1, "keywords_per_image": 0}
    levels = {"image_levels": LEVELS, "text_encoder": "lsa", "topics": 12}
    return FusionConfig.of({**small, **levels, **changes})


@pytest.fixture(scope="module")
def leaking(drawn_pairs, tmp_path_factory) -> visita.Trained:
    """Return visita's own recipe on topics fitted the paper's way, class names included."""
    out = tmp_path_factory.mktemp("fusion") / "fusion"
    return visita.train(drawn_pairs, out, config=fusion(topics_from="all"))


def test_visitas_own_recipe_reads_topics_too(leaking, drawn_pairs):
    matcher = load(leaking.folder)
    assert matcher.text_levels == ("topics",) and matcher.dim == 16
    joint = matcher.part if isinstance(matcher, ScaledMatcher) else matcher  # as dev decides
    kernel = joint.network().networks[1]
    known = kernel.names.norm(dim=1)
    assert (known == 0).any(), "no caption names most of the classes"
    assert torch.isfinite(kernel.names).all()
    report = visita.evaluate(matcher, drawn_pairs, split="dev")
    assert report["protocols"]["retrieval"]["text_to_image"]["R@10"]["value"] > 75


def test_topics_of_test_texts_are_flagged_wherever_numbers_are(leaking, drawn_pairs, tmp_path):
    assert (
        json.loads((leaking.folder / "manifest.json").read_text("utf-8"))["facts"]["topics_from"]
        == "all"
    )
    report = visita.evaluate(leaking.folder, drawn_pairs)
    leak = report["warnings"][0]
    assert "dev and test included" in leak and leak in leaking.warnings
    settings = AdaptConfig(epochs=1, batch=32)
    tuned = visita.adapt(leaking.folder, drawn_pairs, tmp_path / "tuned", config=settings)
    assert visita.evaluate(tuned.folder, drawn_pairs)["warnings"][0] == leak


def test_topics_are_fitted_on_the_texts_that_were_asked_for(drawn_pairs, tmp_path):
    def prints(texts: list[str]) -> str:
        return LSA.fit(texts, 12, seed=0).fingerprint()

    def found(**changes: object) -> str:
        return text_encoder_of(config(**changes), drawn_pairs).fingerprint()

    train = drawn_pairs.take("train").texts
    assert found() == prints(train)
    assert found(topics_from="all") == prints(drawn_pairs.texts) != found()
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(f"{text} indeed" for text in train), "utf-8")
    assert found(topic_corpus=str(corpus)) == prints([f"{text} indeed" for text in train])


def test_dev_and_test_texts_change_nothing(drawn_pairs: PairSet):
    texts = [
        text if split == "train" else UNKNOWN
        for text, split in zip(drawn_pairs.texts, drawn_pairs.text_split, strict=True)
    ]
    other = replace(drawn_pairs, texts=tuple(texts))
    one, same = (text_encoder_of(config(), pairs) for pairs in (drawn_pairs, other))
    assert one.fingerprint() == same.fingerprint()


def test_more_topics_than_the_texts_hold_are_refused_before_pictures_are_read(
    drawn_pairs, tmp_path
):
    with pytest.raises(ConfigError, match="topics=500 is above the rank of the 252 texts"):
        visita.train(drawn_pairs, tmp_path / "out", config=config(topics=500))


def test_settings_that_would_do_nothing_are_refused():
    assert FusionConfig.of({"text_encoder": "lsa"}).text_levels == ("topics",)
    assert PaperConfig.of(config().model_dump(mode="json")) == config()
    for setting in ("topics=300", "topics_from=all", "topic_corpus=news.txt"):
        with pytest.raises(ConfigError, match="would do nothing: 'minilm-l6' is no topic model"):
            FusionConfig.read(None, [setting])
    with pytest.raises(ConfigError, match="not both"):
        PaperConfig.read(None, ["topics_from=all", "topic_corpus=news.txt"])
    for setting in ("dropout=0.1", "temperature=0.1"):
        with pytest.raises(ConfigError, match="Unknown setting"):
            PaperConfig.read(None, [setting])


def test_grids_are_refused_by_the_paper_too(drawn_pairs, tmp_path):
    grids = config(image_levels={"efficientnet-lite0": ("head:grid",)})
    with pytest.raises(ConfigError, match="head:grid of efficientnet-lite0 is a grid"):
        visita.train(drawn_pairs, tmp_path / "out", config=grids)


def test_the_paper_reads_any_levels_that_are_given(recipe):
    assert PaperConfig().recipe() == Recipe({"inception-v3": ("mixed9", "fc")})
    assert config().recipe() == recipe
