"""Which pairs are seen together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from visita.data import PairSet
from visita.training.batches import Batch, batch_count, batches
from visita.training.words import MAX_WORDS, keyword_pairs, shared_words


def many_to_many() -> sparse.csr_array:
    """Return 12 images and 30 texts: one to four texts an image, some texts of two images."""
    rng = np.random.default_rng(0)
    dense = np.zeros((12, 30), bool)
    dense[np.arange(30) % 12, np.arange(30)] = True
    dense[rng.integers(0, 12, 6), rng.integers(0, 30, 6)] = True
    return sparse.csr_array(dense)


def drawn(size: int = 8, views: int = 2, mix: bool = True, seed: int = 0) -> list[Batch]:
    rng = np.random.default_rng(seed)
    return list(batches(many_to_many(), size, views, mix=mix, rng=rng))


def pairs_of(some: list[Batch]) -> list[tuple[int, int]]:
    return [
        (int(image), int(text))
        for batch in some
        for image, text in zip(batch.images, batch.texts, strict=True)
    ]


@pytest.mark.parametrize("size", [2, 5, 8, 100])
def test_every_true_pair_comes_once(size):
    truth = many_to_many()
    some = drawn(size)
    assert len(some) == batch_count(truth, size)
    found = pairs_of(some)
    true = set(zip(*(rows.tolist() for rows in truth.nonzero()), strict=True))
    left_out = truth.nnz % size == 1
    assert len(found) == len(set(found)) == truth.nnz - left_out
    assert set(found) <= true
    assert all(len(batch.images) == size for batch in some[:-1])


def test_a_batch_of_one_pair_teaches_nothing_and_is_left_out():
    truth = sparse.csr_array(np.eye(5, dtype=bool))
    rng = np.random.default_rng(0)
    assert [len(b.images) for b in batches(truth, 4, 1, mix=False, rng=rng)] == [4]
    assert batch_count(truth, 4) == 1 and batch_count(truth, 5) == 1 and batch_count(truth, 3) == 2
    one = sparse.csr_array(np.eye(1, dtype=bool))
    assert list(batches(one, 4, 1, mix=False, rng=rng)) == [] and batch_count(one, 4) == 0


def test_the_order_follows_the_seed():
    assert pairs_of(drawn(seed=1)) == pairs_of(drawn(seed=1))
    assert pairs_of(drawn(seed=1)) != pairs_of(drawn(seed=2))
    rng = np.random.default_rng(0)
    first, second = (
        pairs_of(list(batches(many_to_many(), 8, 1, mix=False, rng=rng))) for _ in range(2)
    )
    assert first != second and sorted(first) == sorted(second)


def test_siblings_are_texts_of_the_same_image():
    truth = many_to_many().toarray()
    some = [batch for seed in range(20) for batch in drawn(seed=seed)]
    seen: dict[int, set[int]] = {}
    for batch in some:
        for image, sibling in zip(batch.images, batch.siblings, strict=True):
            assert truth[image, sibling]
            seen.setdefault(int(image), set()).add(int(sibling))
        assert batch.shares.dtype == np.float32
        assert ((batch.shares >= 0) & (batch.shares < 1)).all()
        assert set(batch.views) <= {0, 1}
    assert {image: set(np.flatnonzero(truth[image])) for image in seen} == seen
    assert {int(view) for batch in some for view in batch.views} == {0, 1}
    for batch in drawn(mix=False):
        assert np.array_equal(batch.siblings, batch.texts)


@pytest.mark.parametrize("mix", [False, True])
def test_also_true_is_what_the_truth_says_of_both_texts(mix):
    truth = many_to_many().toarray()
    beside = 0
    for batch in drawn(12, mix=mix):
        b = len(batch.images)
        assert batch.also_true.shape == (b, b) and batch.also_true.dtype == bool
        for i in range(b):
            for j in range(b):
                expected = (
                    truth[batch.images[i], batch.texts[j]]
                    or truth[batch.images[i], batch.siblings[j]]
                )
                assert batch.also_true[i, j] == expected
                beside += expected and i != j
    assert beside > 0


CAPTIONS = [
    ("A dog runs on the beach.", "The dog is running at a beach!", "Two dogs, one Beach"),
    ("a red boat",),
    ("The of and",),
    ("42 dogs run", "7 cats sleep"),
]


@pytest.fixture
def captioned(tmp_path) -> PairSet:
    paths = tuple(tmp_path / f"{n}.jpg" for n in range(len(CAPTIONS)))
    splits = ["train", "dev", "train", "train"]
    texts = [text for own in CAPTIONS for text in own]
    owners = [row for row, own in enumerate(CAPTIONS) for _ in own]
    places = (owners, np.arange(len(texts)))
    truth = sparse.csr_array((np.ones(len(texts), bool), places), (len(paths), len(texts)))
    return PairSet(
        source="test",
        image_ids=tuple(path.name for path in paths),
        image_paths=paths,
        texts=tuple(texts),
        truth=truth,
        image_split=np.array(splits),
        text_split=np.array([splits[owner] for owner in owners]),
    )


def test_words_that_several_texts_share_are_kept():
    assert shared_words(list(CAPTIONS[0])) == ["beach", "dog"]
    assert shared_words(["A red boat on the sea"]) == ["boat", "red", "sea"]
    assert shared_words(["42 a I"]) == [] and shared_words([]) == []


def test_keywords_are_drawn_from_an_images_own_words(captioned):
    found = keyword_pairs(captioned, 3, seed=0)
    assert found.image_ids == captioned.image_ids
    assert found.truth.shape == (4, len(found.texts))
    assert np.array_equal(found.truth.sum(0), np.ones(len(found.texts)))
    for row, own in enumerate(CAPTIONS):
        known = set(shared_words(list(own)))
        texts = np.flatnonzero(found.truth[[row]].toarray()[0])
        drawn_texts = [found.texts[text] for text in texts]
        assert len(set(drawn_texts)) == len(drawn_texts) <= 3
        assert bool(drawn_texts) == bool(known)
        for text in drawn_texts:
            words = text.split()
            assert 1 <= len(words) == len(set(words)) <= MAX_WORDS
            assert set(words) <= known and not set(words) & ENGLISH_STOP_WORDS
        assert (found.text_split[texts] == captioned.image_split[row]).all()
    assert keyword_pairs(captioned, 3, seed=0).texts == found.texts
    assert {keyword_pairs(captioned, 3, seed=s).texts for s in range(5)} != {found.texts}


def test_without_words_there_are_no_keywords(captioned):
    assert keyword_pairs(captioned, 0, seed=0).texts == ()
    wordless = replace(captioned, texts=tuple("a 1 the" for _ in captioned.texts))
    assert keyword_pairs(wordless, 3, seed=0).texts == ()
    assert keyword_pairs(wordless, 3, seed=0).truth.shape == (4, 0)
