"""Ranks under ties, beside shuffles of the items and scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import top_k_accuracy_score

from visita.evaluation import best_ranks, hits, mean_ranks, recall_at, retrieval
from visita.evaluation.blocks import DenseBlocks
from visita.evaluation.ranks import median_ranks

CUTOFFS = (1, 2, 5, 10)


def place(scores, true, order):
    """Return the rank of the best true item, one true item being no competitor of another."""
    ranked = [true[item] for item in sorted(order, key=lambda item: -scores[item])]
    return 1 + ranked.index(True)


def shuffled(scores, truth, rng, times):
    """Return each query's rank in shuffled orders of the items, (times, q)."""
    items = scores.shape[1]
    return np.array(
        [
            [
                place(row, true, rng.permutation(items))
                for row, true in zip(scores, truth, strict=True)
            ]
            for _ in range(times)
        ]
    )


def some_ties(rng, queries=12, items=9, levels=3):
    truth = rng.random((queries, items)) < 0.25
    truth[np.arange(queries), rng.integers(items, size=queries)] = True
    return rng.integers(levels, size=truth.shape).astype(np.float32), truth


@pytest.mark.parametrize("seed", range(5))
def test_they_are_exactly_the_mean_over_every_order(seed):
    rng = np.random.default_rng(seed)
    scores, truth = some_ties(rng, queries=3, items=6, levels=2)
    ranks = best_ranks(DenseBlocks(scores), sparse.csr_array(truth))
    orders = list(itertools.permutations(range(6)))
    for query in range(3):
        own = np.array([place(scores[query], truth[query], order) for order in orders])
        assert mean_ranks(ranks)[query] == pytest.approx(own.mean())
        expected = [(own <= k).mean() for k in CUTOFFS]
        assert hits(ranks, CUTOFFS)[query] == pytest.approx(expected)


def test_without_ties_they_are_whole_numbers():
    rng = np.random.default_rng(0)
    truth = some_ties(rng)[1]
    scores = rng.normal(size=truth.shape).astype(np.float32)
    ranks = best_ranks(DenseBlocks(scores), sparse.csr_array(truth))
    [own] = shuffled(scores, truth, rng, 1)
    assert mean_ranks(ranks).tolist() == own.tolist()
    assert hits(ranks, CUTOFFS).tolist() == [[rank <= k for k in CUTOFFS] for rank in own.tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("levels", [1, 2, 8, 40])
def test_recall_and_median_are_the_mean_over_shuffles(levels):
    rng = np.random.default_rng(levels)
    scores, truth = some_ties(rng, queries=41, items=60, levels=levels)
    truth &= rng.random(truth.shape) < 0.2  # one true item mostly
    truth[np.arange(41), rng.integers(60, size=41)] = True
    ranks = best_ranks(DenseBlocks(scores), sparse.csr_array(truth))
    drawn = shuffled(scores, truth, rng, 400)
    for k in CUTOFFS:
        spread = 100 * (drawn <= k).mean(axis=1).std() / 20
        assert recall_at(ranks, k) == pytest.approx(
            100 * (drawn <= k).mean(), abs=4 * spread + 1e-9
        )
    medians = np.median(drawn, axis=1)
    median = median_ranks(ranks, np.arange(41))(np.ones((1, 41)))[0, 0]
    assert median == pytest.approx(medians.mean(), abs=4 * medians.std() / 20 + 0.1)


def test_a_group_that_is_drawn_twice_counts_twice_in_the_median():
    rng = np.random.default_rng(3)
    scores, truth = some_ties(rng, queries=21, items=30, levels=6)
    ranks, owners = best_ranks(DenseBlocks(scores), sparse.csr_array(truth)), np.arange(21) // 3
    weights = rng.integers(0, 4, size=(5, 7)).astype(float)
    found = median_ranks(ranks, owners)(weights)
    drawn = shuffled(scores, truth, rng, 300)
    for row, own in zip(weights, found[:, 0], strict=True):
        repeated = np.repeat(drawn, row[owners].astype(int), axis=1)
        assert own == pytest.approx(np.median(repeated, axis=1).mean(), abs=0.25)


def test_a_median_among_many_thousand_tied_items_takes_no_table_of_them():
    ranks = np.array([[0, 49_999, 1]] * 101)
    [[median]] = median_ranks(ranks, np.arange(101))(np.ones((1, 101)))
    assert median == pytest.approx(25_000, rel=0.002)


@pytest.mark.slow
def test_recall_is_that_of_scikit_learn_over_shuffles():
    rng = np.random.default_rng(7)
    scores = rng.integers(4, size=(30, 12)).astype(np.float32)
    own = rng.integers(12, size=30)
    truth = sparse.csr_array((np.ones(30, bool), (np.arange(30), own)), shape=scores.shape)
    ranks = best_ranks(DenseBlocks(scores), truth)
    for k in (1, 5):
        found = []
        for _ in range(300):
            order = rng.permutation(12)
            names = np.argsort(order)  # where each item went
            found.append(
                top_k_accuracy_score(names[own], scores[:, order], k=k, labels=np.arange(12))
            )
        spread = 100 * np.std(found) / np.sqrt(300)
        assert recall_at(ranks, k) == pytest.approx(100 * np.mean(found), abs=4 * spread)


def test_a_collapsed_matcher_has_the_recall_of_chance():
    images, texts = np.ones((50, 4), np.float32), np.ones((250, 4), np.float32)
    truth = sparse.csr_array(np.kron(np.eye(50), np.ones((1, 5))).astype(bool))
    found = retrieval(images, texts, truth, seed=0, resamples=50).to_dict()
    of_texts, of_images = found["text_to_image"], found["image_to_text"]
    assert [of_texts[f"R@{k}"]["value"] for k in (1, 5, 10)] == pytest.approx([2, 10, 20])
    assert of_texts["MedR"]["value"] == pytest.approx(25.5, abs=0.1)
    # None of the five is among the first K of 250 by chance.
    missed = [np.prod([(245 - i) / (250 - i) for i in range(k)]) for k in (1, 5, 10)]
    expected = [100 * (1 - one) for one in missed]
    assert [of_images[f"R@{k}"]["value"] for k in (1, 5, 10)] == pytest.approx(expected)
    assert found["rsum"]["value"] == pytest.approx(32 + sum(expected))
