"""Training and adapting on drawn pairs: it learns, repeats itself and forgets nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations, count
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch.nn import functional

import visita
from visita.data import PairSet, open_pairs
from visita.encoders.efficientnet import class_names
from visita.encoders.minilm import MiniLM
from visita.errors import TrainingError
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.retrieval import rsum_of_vectors
from visita.matchers import load
from visita.matchers.combine import ScaledMatcher
from visita.matchers.embed import JointMatcher
from visita.networks.fusion import FusionNetwork, JointSpace
from visita.store.extract import PairFeatures, pair_features
from visita.testing import check_matcher
from visita.training.adapt import MIXES, adapt_joint, vectors_from_base
from visita.training.config import AdaptConfig, ContrastConfig, FusionConfig
from visita.training.fusion import closed_form_heads, train_fusion
from visita.training.loop import History
from visita.training.scaling import vectors_of
from visita.training.tensors import ROWS, PairTensors, Spans, spans_of, standardised, statistics
from visita.training.train import warnings_of
from visita.training.tuning import Extra, embed, train_network
from visita.training.words import keyword_pairs
from visita.types import FloatArray, Recipe

pytestmark = pytest.mark.slow

Splits = dict[str, PairTensors]

RECIPE = Recipe({"efficientnet-lite0": ("block10:avg", "classes")}, mirror=True)
"""Few features, so that the closed form is quick; the first 112 are the fusion network's."""
FUSION = 112


@pytest.fixture(scope="module", autouse=True)
def exact() -> Iterator[None]:
    """Compute in float32: what so little training learns must not depend on the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISITA_PRECISION", "float32")
        yield


@pytest.fixture(scope="module")
def features(drawn_pairs, recipe, sentences) -> PairFeatures:
    return pair_features(drawn_pairs, recipe, sentences)


@pytest.fixture(scope="module")
def tensors(features) -> Splits:
    return {split: PairTensors.of(features.take(split), RECIPE) for split in ("train", "dev")}


@pytest.fixture(scope="module")
def config(sentences) -> FusionConfig:
    return FusionConfig(
        image_levels=dict(RECIPE.levels),
        text_levels=sentences.levels,
        fusion_dim=32,
        hidden=64,
        dim=96,
        epochs=3,
        batch=32,
        class_names_weight=0.0,
    )


def recall(truth: sparse.csr_array, k: int = 3) -> Callable[[FloatArray, FloatArray], float]:
    """Return a validation: the mean recall at k of both directions, in percent."""
    dense = truth.toarray()

    def validate(images: FloatArray, texts: FloatArray) -> float:
        scores = images @ texts.T
        found = [dense[i, np.argsort(-row)[:k]].any() for i, row in enumerate(scores)]
        back = [dense[np.argsort(-row)[:k], j].any() for j, row in enumerate(scores.T)]
        return 50 * float(np.mean(found) + np.mean(back))

    return validate


def layout(config: FusionConfig) -> Spans:
    return spans_of(config, MiniLM(config.text_levels))


def trained(tensors: Splits, config: FusionConfig, **more: Any) -> tuple[JointMatcher, History]:
    validate, text = recall(tensors["dev"].truth), MiniLM(config.text_levels)
    return train_fusion("small", tensors["train"], tensors["dev"], validate, config, text, **more)


@pytest.fixture(scope="module")
def whole(tensors, config) -> JointMatcher:
    """Return a matcher with the class-name kernel, its vectors shortened to 96."""
    matcher, _ = trained(tensors, config.model_copy(update={"class_names_weight": 0.15}))
    return matcher


def random_network(tensors: Splits, config: FusionConfig, seed: int = 0) -> FusionNetwork:
    """Return a network that knows nothing: its linear maps are drawn, not solved for."""
    sizes = {"seed": seed, "fusion_dim": 32, "hidden": 64, "dropout": 0.1}
    network = closed_form_heads(tensors["train"], layout(config), config.model_copy(update=sizes))
    for tower in (network.image_tower, network.text_tower):
        tower.linear.normal_(0, 0.1)
    return network.eval()


def test_tensors_hold_views_and_pooled_texts(features, tensors):
    train = features.take("train")
    found = tensors["train"]
    assert found.images.shape == (84, 2, FUSION + 1000) and found.texts.shape == (252, 768)
    for view, suffix in enumerate(("", "@mirror")):
        columns = [
            train.columns[f"efficientnet-lite0/{level}{suffix}"][5]
            for level in RECIPE.levels["efficientnet-lite0"]
        ]
        assert np.array_equal(found.images[5, view], np.concatenate(columns))
    assert (found.truth != train.pairs.truth).nnz == 0


def test_a_network_that_knows_nothing_learns(tensors, config):
    network = random_network(tensors, config)
    settings = ContrastConfig(epochs=12, patience=12, batch=32, learning_rate=3e-3)
    validate = recall(tensors["dev"].truth)
    spans = layout(config)
    history = train_network(network, tensors["train"], tensors["dev"], spans, validate, settings)
    # By chance a third of 18 images has one of its three captions among three of 54.
    assert history.start < 40
    assert history.best() > history.start + 20
    assert history.epochs[-1].loss < 0.8 * history.epochs[0].loss
    assert validate(*embed(network, tensors["dev"], spans)) == history.best()


def test_the_closed_form_start_knows_much_already(tensors, config):
    _, history = trained(tensors, config)
    assert history.start > 80 and history.best() >= history.start


def test_the_same_seed_gives_the_same_bits_and_another_does_not(tensors, config):
    # Trained on little, so that a later epoch is the best, not the start they share.
    few = PairTensors(
        tensors["train"].images[:20], tensors["train"].texts, tensors["train"].truth[:20].tocsr()
    )
    settings = config.model_copy(update={"learning_rate": 3e-3})

    def weights(seed: int, drawn_before: int) -> dict[str, torch.Tensor]:
        network = random_network(tensors, config)
        torch.rand(drawn_before)
        scores = count()
        loop = settings.model_copy(update={"seed": seed})
        spans = layout(config)
        train_network(network, few, tensors["dev"], spans, lambda *_: float(next(scores)), loop)
        return network.state_dict()

    first, again, other = weights(1, 0), weights(1, 7), weights(2, 0)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["text_tower.mlp.4.weight"], other["text_tower.mlp.4.weight"])


def test_matchers_of_one_seed_are_the_same_to_the_bit(tensors, config):
    settings = config.model_copy(update={"epochs": 1})
    (one, _), (other, _) = (trained(tensors, settings) for _ in range(2))
    assert one.fingerprint() == other.fingerprint()
    assert one.tensors.keys() == other.tensors.keys()
    assert all(np.array_equal(one.tensors[name], other.tensors[name]) for name in one.tensors)


def test_features_that_never_changed_in_training_do_no_harm(tensors, config):
    train = tensors["train"]
    images = train.images.copy()
    images[:, :, 7] = 0.5
    unseen = tensors["dev"].images.copy()
    unseen[:, :, 7] = 0.5
    network = random_network({"train": replace(train, images=images)}, config)
    spans = layout(config)
    before, _ = embed(network, replace(tensors["dev"], images=unseen), spans)
    unseen[:, :, 7] = 0.6
    after, _ = embed(network, replace(tensors["dev"], images=unseen), spans)
    assert ((before * after).sum(1) > 0.99).all()


def test_statistics_are_those_of_all_rows():
    rows = np.random.default_rng(0).normal(3, 2, (2 * ROWS + 7, 5)).astype(np.float32)
    rows[:, 4] = 0.25
    mean, scale = statistics(rows)
    assert np.allclose(mean, rows.mean(0)) and np.allclose(scale[:4], rows[:, :4].std(0), rtol=1e-4)
    assert scale[4] == 1 and scale.dtype == np.float32
    assert np.allclose(standardised(rows, mean, scale), (rows - mean) / scale)


def test_half_precision_changes_next_to_nothing(tensors, config):
    network = random_network(tensors, config)
    before = embed(network, tensors["dev"], layout(config))
    network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    after = embed(network, tensors["dev"], layout(config))
    for one, other in zip(before, after, strict=True):
        assert ((one * other).sum(1) > 0.9999).all()


def test_a_trained_matcher_keeps_the_contract(whole, features, tmp_path):
    dev = features.take("dev")
    check_matcher(whole, dev.columns, dev.texts)
    whole.save(tmp_path / "small")
    again = load(tmp_path / "small")
    assert np.array_equal(again.embed_images(dev.columns), whole.embed_images(dev.columns))
    validate = recall(dev.pairs.truth.tocsr())
    assert validate(whole.embed_images(dev.columns), whole.embed_texts(dev.texts)) > 80


def test_the_class_name_kernel_holds_names_and_means(whole, tensors, features):
    part, network = whole.network().parts[1], whole.network().networks[1]
    assert part.network == "class-names" and part.weight == pytest.approx(0.15)
    names = MiniLM(("layer6",)).encode(class_names()[:3]).vectors
    expected = names / np.linalg.norm(names, axis=1, keepdims=True)
    assert np.allclose(network.names[:3].numpy(), expected, atol=1e-3)
    train = tensors["train"]
    with torch.inference_mode():
        sentences = functional.normalize(torch.from_numpy(train.texts[:, 384:]), dim=-1)
        assert torch.allclose(network.text_mean, sentences.mean(0), atol=1e-3)
        probabilities = torch.from_numpy(train.images[:, :, FUSION:])
        pictures = (probabilities @ network.names).mean((0, 1))
        assert torch.allclose(network.image_mean, pictures, atol=1e-3)
    assert features.pairs


def test_shortened_vectors_stay_near_the_joined_ones(whole, tensors):
    space = whole.network()
    assert space.joined == 32 + 384 and whole.dim == 96
    dev = tensors["dev"]
    with torch.inference_mode():
        images, texts = torch.from_numpy(dev.images), torch.from_numpy(dev.texts)
        long = space.join_images(images) @ space.join_texts(texts).T
        short = space.image(images) @ space.text(texts).T
    assert torch.corrcoef(torch.stack([long.ravel(), short.ravel()]))[0, 1] > 0.98


def test_keywords_are_learned_beside_captions(tensors, config, features, sentences):
    drawn = keyword_pairs(features.pairs.take("train"), 2, seed=0)
    words = sentences.encode(drawn.texts).pooled()
    keywords = PairTensors(tensors["train"].images, words, drawn.truth.tocsr())

    def after(extra: Extra | None) -> tuple[History, float]:
        network, spans = random_network(tensors, config), layout(config)
        settings = ContrastConfig(epochs=8, batch=32, learning_rate=3e-3)
        scores = count()
        history = train_network(
            *(network, tensors["train"], tensors["dev"], spans),
            *(lambda *_: float(next(scores)), settings, extra),
        )
        return history, recall(keywords.truth)(*embed(network, keywords, spans))

    (without, found), (history, better) = after(None), after(Extra(keywords, 1.0))
    assert better > found
    chances = [h.epochs[0].chance for h in (without, history)]
    assert chances[1] > chances[0] + np.log(10)  # two losses have the chance of two
    assert not [w for w in warnings_of(history) if "collapsed" in w]


def test_one_keyword_is_too_few_to_learn_from(tensors, config):
    one = PairTensors(
        tensors["train"].images[:1], tensors["train"].texts[:1], sparse.csr_array([[True]])
    )
    (first, _), (other, _) = trained(tensors, config), trained(tensors, config, keywords=one)
    assert first.fingerprint() == other.fingerprint()


def test_pairs_that_do_not_belong_together_are_noticed(tensors, config):
    order = np.random.default_rng(0).permutation(len(tensors["train"].texts))
    train = tensors["train"]
    shuffled = {**tensors, "train": replace(train, texts=train.texts[order])}
    _, history = trained(shuffled, config)
    assert history.best() < 60
    assert any("did not improve" in w or "collapsed" in w for w in warnings_of(history))


def test_a_rate_of_nearly_nothing_is_noticed(tensors, config):
    _, history = trained(tensors, config.model_copy(update={"learning_rate": 1e-12}))
    assert any("did not improve" in warning for warning in warnings_of(history))


def test_a_rate_that_is_far_too_high_is_an_error(tensors, config):
    with pytest.raises(TrainingError, match="lower learning_rate"):
        trained(tensors, config.model_copy(update={"learning_rate": 1e8}))


def rising() -> Callable[[FloatArray, FloatArray], float]:
    """Return a validation that likes each try better than the last."""
    scores = count()
    return lambda *_: float(next(scores))


def adapted(base: JointMatcher, tensors: Splits, validate: Any) -> tuple[JointMatcher, float]:
    settings = AdaptConfig(epochs=2, batch=32, learning_rate=1e-3)
    found, _, weight = adapt_joint(
        "mine", base, tensors["train"], tensors["dev"], validate, settings
    )
    return found, weight


def cosines(network: Any, pairs: PairTensors) -> np.ndarray:
    with torch.inference_mode():
        images = network.image(torch.from_numpy(pairs.images))
        return (images @ network.text(torch.from_numpy(pairs.texts)).T).numpy()


def test_where_adapting_does_not_help_the_base_stays_as_it_was(whole, tensors, features):
    found, weight = adapted(whole, tensors, lambda *_: 50.0)
    assert weight == 0 and found.fingerprint() == whole.fingerprint()
    columns = features.take("dev").columns
    assert np.array_equal(found.embed_images(columns), whole.embed_images(columns))


def test_an_adapted_matcher_holds_the_base_similarity_exactly(whole, tensors):
    found, weight = adapted(whole, tensors, rising())
    assert weight == MIXES[-1]
    base, space, dev = whole.network(), found.network(), tensors["dev"]
    assert isinstance(space.networks[0], JointSpace)
    for name, tensor in base.state_dict().items():
        assert torch.equal(space.networks[0].state_dict()[name], tensor)
    assert np.array_equal(cosines(space.networks[0], dev), cosines(base, dev))
    with torch.inference_mode():
        images = base.image(torch.from_numpy(dev.images)).numpy()[:, None]
        texts = base.text(torch.from_numpy(dev.texts)).numpy()
    learnt = cosines(space.networks[1], PairTensors(images, texts, dev.truth))
    mixed = (1 - weight) * cosines(base, dev) + weight * learnt
    assert np.allclose(cosines(space, dev), mixed, atol=1e-5)
    assert not np.allclose(cosines(base, dev), mixed, atol=1e-2)
    assert found.dim == 2 * whole.dim and found.name == "mine"
    assert found.recipe == whole.recipe and found.encoders == whole.encoders


def test_the_weight_is_the_best_on_dev_and_the_smallest_of_equals(whole, tensors):
    def like(wanted: float) -> Callable[[FloatArray, FloatArray], float]:
        # A joined vector is longer, and shows the weight of what is learnt in its length.
        def validate(images: FloatArray, _: FloatArray) -> float:
            own = float((images[0, whole.dim :] ** 2).sum())
            return -abs(own - wanted)

        return validate

    for wanted in MIXES:
        _, weight = adapted(whole, tensors, like(wanted))
        assert weight == wanted


def test_an_adapted_matcher_can_be_adapted_saved_and_loaded(whole, tensors, features, tmp_path):
    once, _ = adapted(whole, tensors, rising())
    twice, _ = adapted(once, tensors, rising())
    dev = tensors["dev"]
    inner = twice.network().networks[0]
    assert np.array_equal(cosines(inner, dev), cosines(once.network(), dev))
    assert np.array_equal(cosines(inner.networks[0], dev), cosines(whole.network(), dev))
    twice.save(tmp_path / "twice")
    again = load(tmp_path / "twice")
    assert again.fingerprint() == twice.fingerprint()
    taken = features.take("dev")
    check_matcher(again, taken.columns, taken.texts)
    expected = cosines(twice.network(), dev)
    found = again.embed_images(taken.columns) @ again.embed_texts(taken.texts).T
    assert np.allclose(found, expected, atol=1e-3)


def renamed_colours(pairs: PairSet) -> PairSet:
    """Return the pairs with invented words for what the base calls by its colours."""
    code = {"red": "zorb", "blue": "quil", "green": "mant", "yellow": "tesk"}
    texts = (" ".join(code.get(word, word) for word in text.split()) for text in pairs.texts)
    return replace(pairs, texts=tuple(texts))


def test_adapting_to_pairs_of_another_kind_helps_on_them(whole, tensors, features, sentences):
    def renamed(split: str) -> PairTensors:
        texts = renamed_colours(features.take(split).pairs).texts
        return replace(tensors[split], texts=sentences.encode(texts).pooled())

    own = {split: renamed(split) for split in ("train", "dev")}
    validate = recall(own["dev"].truth)
    settings = AdaptConfig(epochs=8, batch=32, learning_rate=1e-3)
    found, history, weight = adapt_joint(
        "mine", whole, own["train"], own["dev"], validate, settings
    )

    def score(matcher: JointMatcher) -> float:
        network = matcher.network()
        with torch.inference_mode():
            images = network.image(torch.from_numpy(own["dev"].images)).numpy()
            texts = network.text(torch.from_numpy(own["dev"].texts)).numpy()
        return validate(images, texts)

    assert weight > 0 and score(found) > score(whole)
    assert history.best() >= history.start


def test_vectors_of_what_was_adapted_follow_from_those_of_its_base(whole, tensors):
    found, weight = adapted(whole, tensors, rising())
    assert weight > 0
    dev = tensors["dev"]
    before, after = (vectors_of(one, dev) for one in (whole, found))
    for one, other in zip(vectors_from_base(found, whole, before), after, strict=True):
        assert np.allclose(one, other, atol=1e-5)
    assert vectors_from_base(whole, whole, before) is before


def locally_scaled_base(whole: JointMatcher, features: PairFeatures) -> ScaledMatcher:
    images, texts = (side[:18].astype(np.float16) for side in vectors(whole, features.take("dev")))
    return ScaledMatcher(
        name="base", part=whole, images=images, texts=texts, neighbours=3, least=0.05
    )


def test_local_scaling_stays_and_its_bank_holds_the_old_pairs_and_the_new(
    whole, features, drawn_pairs, tmp_path
):
    own = renamed_colours(drawn_pairs)
    start = locally_scaled_base(whole, features)
    settings = AdaptConfig(epochs=8, batch=32, learning_rate=1e-3)
    trained = visita.adapt(start, own, tmp_path / "mine", config=settings)
    weight = trained.comparison["weight"]
    assert weight > 0 and trained.comparison["difference"]["rsum"]["value"] > 0
    found = load(tmp_path / "mine")
    assert isinstance(found, ScaledMatcher) and found.neighbours == 2
    train = features_for(found.part, own.take("train"), None)
    count = len(train.pairs.image_ids)
    assert len(found.images) == len(found.texts) == count + len(start.images)
    assert np.allclose(found.bank[0][:count], vectors(found.part, train)[0], atol=4e-3)
    for bank, old in zip(found.bank, start.bank, strict=True):
        carried = bank[count:]
        assert np.allclose(carried[:, : whole.dim], np.sqrt(1 - weight) * old, atol=4e-3)
        assert np.allclose(np.linalg.norm(carried, axis=1), 1, atol=2e-3)


def test_what_is_no_better_on_dev_stays_as_it_was_local_scaling_too(
    whole, features, drawn_pairs, tmp_path
):
    start = locally_scaled_base(whole, features)
    dev = np.flatnonzero(drawn_pairs.image_split == "dev")
    told_apart = next(
        pair
        for pair in combinations(dev, 2)
        if measured(start, drawn_pairs.subset(np.array(pair))) == 600
    )
    rows = np.concatenate([np.flatnonzero(drawn_pairs.image_split == "train"), told_apart])
    trained = visita.adapt(start, drawn_pairs.subset(rows), tmp_path / "mine")
    assert trained.comparison["weight"] == 0
    assert load(tmp_path / "mine").fingerprint() == start.fingerprint()


def measured(matcher: ScaledMatcher, pairs: PairSet) -> float:
    return rsum_of_vectors(pairs.truth.tocsr())(
        *vectors(matcher, features_for(matcher, pairs, None))
    )


def test_a_picture_and_its_mirror_image_are_alike(whole, features):
    columns = features.take("dev").columns
    mirrored = {
        name: columns[name.removesuffix("@mirror") if "@" in name else f"{name}@mirror"]
        for name in columns
    }
    one, other = whole.embed_images(columns), whole.embed_images(mirrored)
    assert np.allclose(one, other, atol=1e-5)


def test_what_it_learns_from_real_pictures_travels(flickr8k, coco80, config, recipe):
    rows = np.arange(100, dtype=np.int64)
    pairs = open_pairs(f"flickr8k:{flickr8k}").take("train").subset(rows)
    text = MiniLM(config.text_levels)
    near = PairTensors.of(pair_features(pairs, recipe, text), recipe)
    travel = pair_features(open_pairs(f"coco:{coco80}"), recipe, text)
    far = PairTensors.of(travel, recipe)
    validate = recall(far.truth, k=8)
    settings = config.model_copy(update={"image_levels": dict(recipe.levels), "epochs": 1})
    _, history = train_fusion("real", near, far, validate, settings, text)
    # By chance 10 % of the pictures and 10 % of the texts' five captions.
    assert history.start > 30
