import json

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import average_precision_score, roc_auc_score

from visita.errors import DataError
from visita.evaluation import best_f1_threshold, fit_threshold, pairs
from visita.evaluation.intervals import components, estimates
from visita.evaluation.pairs import (
    DRAWS,
    draw_pairs,
    pairs_to_measure,
    ranking_metrics,
    score_pairs,
)


def split(rng, images=40, width=8, noise=0.5):
    """1 to 7 texts an image; the first image's first text also belongs to the second image."""
    counts = rng.integers(1, 8, size=images)
    owners = np.repeat(np.arange(images), counts)
    truth = np.zeros((images, len(owners)), dtype=bool)
    truth[owners, np.arange(len(owners))] = True
    truth[1, 0] = True
    vectors = rng.normal(size=(images, width)).astype(np.float32)
    texts = vectors[owners] + noise * rng.normal(size=(len(owners), width)).astype(np.float32)
    return vectors, texts, sparse.csr_array(truth)


def naive_average_precision(scores, labels):
    """Precision at each distinct score, weighted by the recall gained there."""
    total, found = 0.0, 0
    for score in sorted(set(scores), reverse=True):
        called = [label for s, label in zip(scores, labels, strict=True) if s >= score]
        total += (sum(called) - found) / sum(labels) * sum(called) / len(called)
        found = sum(called)
    return total


def naive_auc(scores, labels):
    true = [s for s, label in zip(scores, labels, strict=True) if label]
    false = [s for s, label in zip(scores, labels, strict=True) if not label]
    wins = sum(1.0 if t > f else 0.5 if t == f else 0.0 for t in true for f in false)
    return wins / (len(true) * len(false))


def naive_metrics(scores, labels, threshold):
    called = [s >= threshold for s in scores]
    hits = sum(c and label for c, label in zip(called, labels, strict=True))
    precision = hits / sum(called) if any(called) else 0.0
    recall = hits / sum(labels)
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    match = naive_average_precision(scores, labels)
    no_match = naive_average_precision([-s for s in scores], [not label for label in labels])
    return [
        100 * value
        for value in (precision, recall, f1, (match + no_match) / 2, naive_auc(scores, labels))
    ]


@pytest.mark.parametrize("seed", range(5))
def test_every_image_meets_as_many_false_texts_as_it_has_true_ones(seed):
    _, _, truth = split(np.random.default_rng(seed), images=8)
    drawn = draw_pairs(truth, seed=0)
    table = truth.toarray()
    assert drawn.labels.sum() * 2 == len(drawn.labels) == 2 * truth.nnz
    assert (table[drawn.images, drawn.texts] == drawn.labels).all()
    for image, texts in enumerate(table.sum(axis=1)):
        false = drawn.texts[(drawn.images == image) & ~drawn.labels]
        assert len(false) == len(set(false.tolist())) == texts
        true = drawn.texts[(drawn.images == image) & drawn.labels]
        assert sorted(true) == np.flatnonzero(table[image]).tolist()
    again, other = draw_pairs(truth, seed=0), draw_pairs(truth, seed=1)
    assert (again.texts == drawn.texts).all()
    assert (other.texts != drawn.texts).any()


def test_what_is_measured_meets_other_false_texts_than_what_is_fitted():
    _, _, truth = split(np.random.default_rng(0), images=30)
    measured = pairs_to_measure(truth, seed=0)
    draws = [
        (measured.texts[rows], measured.labels[rows], measured.images[rows])
        for rows in measured.rows()
    ]
    draws += [(d.texts, d.labels, d.images) for d in (draw_pairs(truth, seed=s) for s in range(9))]
    assert len(measured.labels) == (1 + DRAWS) * truth.nnz
    for texts, labels, images in draws:
        assert labels.sum() * 2 == len(labels) == 2 * truth.nnz
        assert (truth.toarray()[images, texts] == labels).all()
    false = {texts[~labels].tobytes() for texts, labels, _ in draws}
    assert len(false) == len(draws)


def test_false_texts_are_drawn_evenly_from_all_that_are_not_true():
    truth = np.zeros((2, 6), dtype=bool)
    truth[0, [1, 4]] = truth[1, 0] = True
    counts = np.zeros(6)
    for seed in range(600):
        drawn = draw_pairs(sparse.csr_array(truth), seed=seed)
        counts += np.bincount(drawn.texts[(drawn.images == 0) & ~drawn.labels], minlength=6)
    assert counts[[1, 4]].sum() == 0
    np.testing.assert_allclose(counts[[0, 2, 3, 5]], 300, rtol=0.2)


def test_false_texts_repeat_only_when_there_are_too_few():
    truth = sparse.csr_array(np.array([[1, 1, 1, 0], [0, 0, 0, 1]], dtype=bool))
    drawn = draw_pairs(truth, seed=0)
    assert drawn.texts[(drawn.images == 0) & ~drawn.labels].tolist() == [3, 3, 3]


def test_an_image_for_which_all_texts_are_true_is_refused():
    with pytest.raises(DataError, match="no false pair"):
        draw_pairs(sparse.csr_array(np.array([[1, 1], [0, 1]], dtype=bool)), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_ranking_metrics_are_scikit_learns_under_any_weights(seed):
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 15, size=80) / 7  # many ties
    labels = rng.random(80) < 0.4
    groups = rng.integers(0, 20, size=80)
    weights = rng.integers(0, 4, size=(12, 20)).astype(float)
    found = ranking_metrics(scores, labels, groups)(weights)
    for row, (mean_precision, auc) in zip(weights, found, strict=True):
        weight = row[groups]
        match = average_precision_score(labels, scores, sample_weight=weight)
        no_match = average_precision_score(~labels, -scores, sample_weight=weight)
        assert mean_precision == pytest.approx((match + no_match) / 2, abs=1e-12)
        assert auc == pytest.approx(roc_auc_score(labels, scores, sample_weight=weight), abs=1e-12)


@pytest.mark.parametrize("rounded", [False, True])
def test_metrics_and_intervals_are_those_of_naive_resampling(rounded):
    images, texts, truth = split(np.random.default_rng(1), images=15)
    if rounded:  # whole numbers: equal scores, and none of them rounds
        images, texts = np.round(images), np.round(texts)
    measured = pairs(images, texts, truth, threshold=4.0, seed=7, resamples=40)
    found = measured.to_dict()
    drawn = pairs_to_measure(truth, seed=7)
    scores = score_pairs(images, texts, drawn)
    owners = np.unique(components(truth).images[drawn.images], return_inverse=True)[1]
    weightings = []
    estimates(
        lambda weights: weightings.extend(weights) or weights,
        int(owners.max()) + 1,
        seed=7,
        resamples=40,
    )

    def naive(weights, draw):
        of_draw = drawn.labels | (drawn.draws == draw)
        times = (weights[owners] * of_draw).astype(int)
        return naive_metrics(
            np.repeat(scores, times).tolist(), np.repeat(drawn.labels, times).tolist(), 4.0
        )

    value = np.mean([naive(weightings[0], draw) for draw in range(DRAWS)], axis=0)
    rows = [naive(weights, turn % DRAWS) for turn, weights in enumerate(weightings[1:])]
    names = ("precision", "recall", "F1", "mAP", "AUC")
    np.testing.assert_allclose([found[name]["value"] for name in names], value)
    low, high = np.percentile(rows, [2.5, 97.5], axis=0)
    np.testing.assert_allclose([found[name]["low"] for name in names], low)
    np.testing.assert_allclose([found[name]["high"] for name in names], high)
    assert len(rows) == 40


def test_the_dictionary_is_json_with_exactly_these_keys():
    images, texts, truth = split(np.random.default_rng(2))
    found = pairs(images, texts, truth, threshold=0.5, threshold_from="dev", seed=0)
    read = json.loads(json.dumps(found.to_dict()))
    metrics = {"precision", "recall", "F1", "mAP", "AUC"}
    assert set(read) == metrics | {"threshold", "threshold_from"}
    assert all(set(read[name]) == {"value", "low", "high"} for name in metrics)
    assert (read["threshold"], read["threshold_from"]) == (0.5, "dev")


def test_a_collapsed_matcher_is_at_chance_and_calls_everything_or_nothing():
    images, texts, truth = split(np.random.default_rng(3))
    images[:], texts[:] = 1, 0.1
    everything = pairs(images, texts, truth, threshold=0.0, seed=0).metrics
    nothing = pairs(images, texts, truth, threshold=9.0, seed=0).metrics
    assert everything["AUC"].value == everything["mAP"].value == 50
    assert (everything["precision"].value, everything["recall"].value) == (50, 100)
    assert nothing["precision"].value == nothing["recall"].value == nothing["F1"].value == 0


@pytest.mark.parametrize("seed", range(6))
def test_the_threshold_has_the_greatest_f1_half_way_between_scores(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random(50) < 0.5
    scores = np.round(rng.normal(size=50) + labels, 1)  # ties
    threshold = best_f1_threshold(scores, labels)

    def f1(at):
        called = scores >= at
        return 2 * (called & labels).sum() / (called.sum() + labels.sum())

    assert f1(threshold) == max(f1(at) for at in scores)
    above, below = scores[scores >= threshold].min(), scores[scores < threshold].max()
    assert threshold == pytest.approx((above + below) / 2)


def test_the_threshold_is_the_lowest_score_when_everything_matches_best():
    assert best_f1_threshold(np.array([0.3, 0.1, 0.2]), np.array([False, True, True])) == 0.1
    assert best_f1_threshold(np.array([0.5, 0.5]), np.array([False, True])) == 0.5
    with pytest.raises(DataError, match="matching pair"):
        best_f1_threshold(np.array([0.5]), np.array([False]))


def test_a_fitted_threshold_separates_a_clear_split():
    images, texts, truth = split(np.random.default_rng(4), images=60, width=64, noise=0.1)
    threshold = fit_threshold(images, texts, truth, seed=1)
    found = pairs(images, texts, truth, threshold=threshold, seed=2).metrics
    assert found["F1"].value > 97
    assert found["mAP"].value > 99


def test_scores_that_are_not_finite_and_other_splits_are_refused():
    images, texts, truth = split(np.random.default_rng(5))
    with pytest.raises(DataError, match="same split"):
        pairs(images[1:], texts, truth, threshold=0, seed=0)
    images[3, 2] = np.nan
    with pytest.raises(DataError, match="NaN or infinite"):
        fit_threshold(images, texts, truth, seed=0)
