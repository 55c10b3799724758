"""What words name, learnt from captions: beside plain loops, saved, and in a search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from tiny import FUSION, two_stages

import visita
from visita.errors import ArtifactError
from visita.matchers.combine import ScaledMatcher
from visita.matchers.words import WordMap
from visita.search.query import Query
from visita.training import words as training
from visita.training.config import AdaptConfig

pytestmark = pytest.mark.slow


def test_words_and_pairs_of_words_are_counted_in_captions(drawn_pairs):
    pairs = drawn_pairs.take("train")
    names, held = training.named_things(pairs)
    [*pairs_of_words] = [name for name in names if " " in name]
    assert {"circle", "star"} <= set(names) and pairs_of_words
    assert not {"a", "on"} & {word for name in names for word in name.split()}
    truth = pairs.truth.toarray()
    for name in ("circle", *pairs_of_words[:5]):
        row = held[[names.index(name)]].toarray()[0]
        for image in range(len(pairs.image_ids)):
            own = [pairs.texts[text].lower() for text in np.flatnonzero(truth[image])]
            said = sum(f" {name} " in f" {text.strip('.')} " for text in own)
            assert row[image] == min(said / 2, 1)
    assert (np.diff(held.indptr) >= training.LEAST_IMAGES).all()


def test_one_caption_a_picture_is_enough(drawn_pairs):
    pairs = drawn_pairs.take("train")
    first = pairs.subset(np.arange(40))
    truth = sparse.lil_array((40, len(first.texts)), dtype=bool)
    for image, text in enumerate(first.truth.tocsr().indices[first.truth.tocsr().indptr[:-1]]):
        truth[image, text] = True
    alone = replace(first, truth=truth.tocsr())
    _, held = training.named_things(alone)
    assert set(held.data) == {1.0}


def test_the_map_is_the_ridge_regression_of_what_captions_hold():
    rng = np.random.default_rng(0)
    images, texts = rng.normal(size=(60, 3)), rng.normal(size=(40, 3))
    held = sparse.random_array((40, 60), density=0.2, rng=rng, format="csr")
    prior = rng.normal(size=(3, 3))
    found = training.fit_word_map(
        images.astype(np.float32), texts.astype(np.float32), held, prior.astype(np.float32)
    )
    seen = images - images.mean(axis=0)
    rest = held.toarray() - held.toarray().mean(axis=1, keepdims=True) - texts @ prior.T @ seen.T
    left = np.linalg.inv(seen.T @ seen + training.IMAGE_RIDGE * np.eye(3))
    right = np.linalg.inv(texts.T @ texts + training.TEXT_RIDGE * np.eye(3))
    expected = prior + left @ seen.T @ rest.T @ texts @ right
    assert found == pytest.approx(expected, abs=2e-3)
    assert found.dtype == np.float16


@pytest.fixture(scope="module")
def named(named_folder, tmp_path_factory) -> visita.Trained:
    out = tmp_path_factory.mktemp("named") / "fusion"
    return visita.train(f"folder:{named_folder}", out, config=FUSION)


def test_training_learns_words_and_keeps_them(named):
    again = visita.load(named.folder)
    assert np.array_equal(again.words.matrix, named.matcher.words.matrix)
    vectors = np.random.default_rng(0).normal(size=(3, again.dim)).astype(np.float32)
    mapped = again.words(vectors)
    by_loop = [again.words.matrix.astype(float) @ row for row in vectors]
    lengths = [max(1, np.linalg.norm(row)) for row in by_loop]
    assert mapped == pytest.approx(np.array(by_loop) / np.array(lengths)[:, None], abs=1e-4)
    assert again.background is not None
    assert (again.words.rows is None) is isinstance(again, ScaledMatcher)


def test_an_adapted_matcher_goes_out_from_what_its_base_knows(drawn_pairs, tmp_path):
    base = visita.load("visita-small")
    tuned = visita.adapt(
        base, drawn_pairs, tmp_path / "tuned", config=AdaptConfig(epochs=1, batch=32)
    ).matcher
    assert tuned.words is not None
    if tuned.dim == base.dim:
        gap = np.abs(tuned.words.matrix - base.words.matrix.astype(np.float32))
        assert 0 < gap.mean() < np.abs(base.words.matrix.astype(np.float32)).mean()


def test_a_map_that_does_not_suit_the_matcher_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="cannot be made of"):
        WordMap(np.zeros((3, 4), np.float16))
    with pytest.raises(ArtifactError, match="cannot be made of"):
        WordMap(np.zeros((3, 3), np.float32))
    WordMap(np.eye(3, dtype=np.float16)).save(tmp_path)
    assert WordMap.read(tmp_path, 3) is not None
    with pytest.raises(ArtifactError, match="no map of words for vectors of 4"):
        WordMap.read(tmp_path, 4)
    assert WordMap.read(tmp_path / "nowhere", 3) is None


def test_a_query_of_words_is_mapped_and_needs_no_closer_look(drawn_pairs):
    matcher = visita.load(two_stages(drawn_pairs))
    words = WordMap(np.eye(matcher.dim, dtype=np.float16) / 2)
    told = replace(matcher, first=replace(matcher.first, words=words))
    encoder = told.open_text_encoder()
    [plain] = told.embed_texts(encoder.encode(["red star"]))
    query = Query.from_texts(["red star"], encoder, told)
    assert query.named and query.vectors[0] == pytest.approx(plain / 2, abs=1e-6)
    assert query.reranker is None
    sentence = Query.from_texts(["red star"], encoder, told, kind="text")
    assert not sentence.named and sentence.reranker is not None
    assert sentence.vectors[0] == pytest.approx(plain, abs=1e-6)


def test_a_search_and_an_explanation_of_words_are_by_the_same_score(drawn_folder):
    finder, picture = visita.Finder("visita-base"), min(drawn_folder.glob("*.jpg"))
    pair = finder.match(picture, "red circle")
    told = visita.explain(finder, picture, "red circle")
    assert told.pair == pair and told.words_by == "hiding"
    assert sum(one.adds for one in told.kernels) == pytest.approx(pair.score, abs=1e-4)
