import json

import numpy as np
import pytest
from scipy import sparse

from visita.errors import DataError
from visita.evaluation import (
    best_ranks,
    dot_blocks,
    mean_over_seeds,
    mean_ranks,
    paired_retrieval,
    recall_at,
    retrieval,
)
from visita.evaluation.intervals import components, estimates


def unit(rng, *shape):
    vectors = rng.normal(size=shape).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def many_to_many(rng, images, texts, density=0.08):
    truth = rng.random((images, texts)) < density
    truth[np.arange(images), rng.integers(texts, size=images)] = True
    truth[rng.integers(images, size=texts), np.arange(texts)] = True
    return truth


def one_to_seven(rng, images):
    """1 to 7 texts an image, each of one image."""
    counts = rng.integers(1, 8, size=images)
    counts[:2] = 1, 7
    owners = np.repeat(np.arange(images), counts)
    truth = np.zeros((images, len(owners)), dtype=bool)
    truth[owners, np.arange(len(owners))] = True
    return truth, owners


def naive_rank(scores, true):
    """Return how many others score more than the best true item and the same, and true ones."""
    items = list(zip(scores, true, strict=True))
    best = max(score for score, is_true in items if is_true)
    return [
        sum(score > best for score, _ in items),
        sum(score == best and not is_true for score, is_true in items),
        sum(score == best and is_true for score, is_true in items),
    ]


class Table:
    """Scores that are already a matrix, given in blocks of chosen sizes."""

    def __init__(self, scores, cuts):
        self.scores = np.asarray(scores, np.float32)
        self.cuts = cuts

    @property
    def shape(self):
        return self.scores.shape

    def __iter__(self):
        for start, stop in zip(self.cuts, self.cuts[1:], strict=False):
            yield slice(start, stop), self.scores[start:stop]


@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_those_of_a_naive_loop_with_ties_and_siblings(seed):
    rng = np.random.default_rng(seed)
    truth = many_to_many(rng, 23, 31)
    scores = rng.integers(0, 6, size=truth.shape)  # many ties
    expected = [naive_rank(*row) for row in zip(scores, truth, strict=True)]
    ranks = best_ranks(Table(scores, [0, 1, 9, 23]), sparse.csr_array(truth))
    assert ranks.tolist() == [list(map(int, one)) for one in expected]


def test_dot_blocks_are_the_inner_products_in_both_directions():
    rng = np.random.default_rng(0)
    queries, items = unit(rng, 11, 4), unit(rng, 7, 4)
    for a, b in ((queries, items), (items, queries)):
        blocks = dot_blocks(a, b, rows=3)
        found = list(blocks)
        assert blocks.shape == (len(a), len(b))
        assert [rows.start for rows, _ in found] == list(range(0, len(a), 3))
        assert all(block.dtype == np.float32 for _, block in found)
        np.testing.assert_allclose(np.concatenate([block for _, block in found]), a @ b.T, 1e-5)
        assert len(list(blocks)) == len(found)  # can be gone through again


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    scores = np.eye(4)
    scores[2, 1] = value
    with pytest.raises(DataError, match="NaN or infinite"):
        best_ranks(Table(scores, [0, 2, 4]), sparse.csr_array(np.eye(4, dtype=bool)))


def test_what_does_not_fit_is_refused():
    truth = sparse.csr_array(np.eye(4, dtype=bool))
    with pytest.raises(DataError, match="same split"):
        best_ranks(Table(np.zeros((4, 5)), [0, 4]), truth)
    with pytest.raises(DataError, match="ended at query 2"):
        best_ranks(Table(np.eye(4), [0, 2]), truth)
    with pytest.raises(DataError, match="must follow each other"):
        best_ranks(Table(np.eye(4), [1, 4]), truth)
    with pytest.raises(DataError, match="cannot be compared"):
        dot_blocks(np.zeros((3, 4), np.float32), np.zeros((3, 5), np.float32))
    with pytest.raises(DataError, match="no true pair"):
        best_ranks(Table(np.eye(4), [0, 4]), sparse.csr_array((4, 4), dtype=bool))


def test_a_query_without_a_true_item_is_refused_by_its_number():
    truth = np.eye(4, dtype=bool)
    truth[2, 2] = False
    with pytest.raises(DataError, match="Query 2 has no true item"):
        best_ranks(Table(np.eye(4), [0, 1, 4]), sparse.csr_array(truth))


def test_explicit_zeros_and_repeated_entries_of_the_truth_do_not_count():
    rows, columns = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    data = np.array([True, True, False, True])
    truth = sparse.csr_matrix((data, (rows, columns)), shape=(2, 2))
    scores = Table([[1, 2], [1, 2]], [0, 2])
    assert mean_ranks(best_ranks(scores, truth)).tolist() == [2, 1]


def naive_metrics(ranks):
    ranks = list(ranks)
    recalls = [100 * sum(rank <= k for rank in ranks) / len(ranks) for k in (1, 5, 10)]
    ordered = sorted(ranks)
    half = len(ordered) // 2
    middle = ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return [*recalls, middle]


def flat(found):
    values = [found[d][m] for d in found if d != "rsum" for m in ("R@1", "R@5", "R@10", "MedR")]
    return [*values, found["rsum"]]


@pytest.mark.parametrize("shape", ["many-to-many", "one-to-seven"])
def test_metrics_and_intervals_are_those_of_naive_resampling(shape):
    rng = np.random.default_rng(5)
    truth = one_to_seven(rng, 40)[0]
    if shape == "many-to-many":  # ten groups that share texts among themselves
        truth = sparse.block_diag([many_to_many(rng, 4, 6, 0.3) for _ in range(10)]).toarray()
    images = unit(rng, truth.shape[0], 8)
    texts = truth.T @ images + rng.normal(size=(truth.shape[1], 8)).astype(np.float32)
    csr = sparse.csr_array(truth)
    found = flat(retrieval(images, texts, csr, seed=3, resamples=60).to_dict())

    scores = images @ texts.T
    image_ranks = [1 + naive_rank(*row)[0] for row in zip(scores, truth, strict=True)]
    text_ranks = [1 + naive_rank(*row)[0] for row in zip(scores.T, truth.T, strict=True)]
    groups = components(csr)
    drawn = []
    estimates(lambda weights: drawn.extend(weights) or weights, groups.count, seed=3, resamples=60)
    rows = []
    for weights in drawn:  # the first is the sample itself: ones
        values = []
        for ranks, owners in ((image_ranks, groups.images), (text_ranks, groups.texts)):
            repeated = [
                rank
                for rank, owner in zip(ranks, owners, strict=True)
                for _ in range(int(weights[owner]))
            ]
            values += naive_metrics(repeated)
        rows.append([*values, sum(values[:3]) + sum(values[4:7])])
    np.testing.assert_allclose([one["value"] for one in found], rows[0])
    low, high = np.percentile(rows[1:], [2.5, 97.5], axis=0)
    np.testing.assert_allclose([one["low"] for one in found], low)
    np.testing.assert_allclose([one["high"] for one in found], high)
    assert len(rows) == 61
    assert 10 <= groups.count <= 40


def test_directions_count_any_text_of_an_image_and_any_image_of_a_text():
    # Image 0 owns texts 0 and 1, image 1 owns text 2; text 2 is nearest to image 0.
    images = np.array([[1, 0], [0, 1]], np.float32)
    texts = np.array([[0.1, 0], [0.9, 0.2], [0.8, 0.3]], np.float32)
    truth = sparse.csr_array(np.array([[1, 1, 0], [0, 0, 1]], dtype=bool))
    found = retrieval(images, texts, truth, seed=0, resamples=10)
    assert mean_ranks(found.image_ranks).tolist() == [[1, 1]]
    assert mean_ranks(found.text_ranks).tolist() == [[1, 1, 2]]
    assert found.metrics["image_to_text"]["R@1"].value == 100
    assert found.metrics["text_to_image"]["R@1"].value == pytest.approx(200 / 3)
    assert found.rsum.value == pytest.approx(500 + 200 / 3)
    assert recall_at(found.text_ranks[0], 1) == pytest.approx(200 / 3)


def test_the_dictionary_is_json_with_exactly_these_keys():
    rng = np.random.default_rng(1)
    truth, owners = one_to_seven(rng, 20)
    images = unit(rng, 20, 6)
    found = retrieval(images, images[owners], sparse.csr_array(truth), seed=0).to_dict()
    read = json.loads(json.dumps(found))
    assert set(read) == {"image_to_text", "text_to_image", "rsum"}
    for direction in ("image_to_text", "text_to_image"):
        assert set(read[direction]) == {"R@1", "R@5", "R@10", "MedR"}
        for estimate in read[direction].values():
            assert set(estimate) == {"value", "low", "high"}
    assert read["rsum"] == {"value": 600, "low": 600, "high": 600}


def test_the_same_seed_gives_the_same_intervals_and_another_seed_others():
    rng = np.random.default_rng(2)
    truth, owners = one_to_seven(rng, 50)
    images = unit(rng, 50, 6)
    texts = images[owners] + rng.normal(size=(len(owners), 6)).astype(np.float32)
    one, same, other = (
        retrieval(images, texts, sparse.csr_array(truth), seed=seed).to_dict() for seed in (1, 1, 2)
    )
    assert one == same
    assert one["rsum"]["value"] == other["rsum"]["value"]
    assert one["rsum"] != other["rsum"]


def noisy_runs(noises, seeds):
    rng = np.random.default_rng(9)
    truth, owners = one_to_seven(rng, 80)
    images = unit(rng, 80, 10)
    runs = []
    for noise, seed in zip(noises, seeds, strict=True):
        jitter = np.random.default_rng(seed).normal(size=(len(owners), 10)).astype(np.float32)
        texts = images[owners] + noise * jitter
        runs.append(retrieval(images, texts, sparse.csr_array(truth), seed=0, resamples=200))
    return runs


def test_paired_differences_are_b_minus_a_and_tighter_than_the_intervals_apart():
    worse, better = noisy_runs([0.5, 0.4], [1, 1])
    found = paired_retrieval(worse, better, seed=0)
    a, b = flat(worse.to_dict()), flat(better.to_dict())
    for difference, one, two in zip(flat(found), a, b, strict=True):
        assert difference.value == pytest.approx(two["value"] - one["value"])
        assert difference.low <= difference.value <= difference.high
    rsum = found["rsum"]
    assert rsum.value > 0
    assert rsum.low > 0
    assert rsum.p_value < 0.05
    assert rsum.high - rsum.low < better.rsum.high - better.rsum.low
    nothing = paired_retrieval(worse, worse, seed=0)["rsum"]
    assert (nothing.value, nothing.low, nothing.high, nothing.p_value) == (0, 0, 0, 1)


def test_several_training_seeds_are_one_mean_before_resampling():
    runs = noisy_runs([0.4, 0.4, 0.4], [1, 2, 3])
    joined = mean_over_seeds(runs, seed=0)
    assert joined.image_ranks.shape == (3, 80, 3)
    values = np.array([[one["value"] for one in flat(run.to_dict())] for run in runs])
    np.testing.assert_allclose(
        [one["value"] for one in flat(joined.to_dict())], values.mean(axis=0)
    )
    assert paired_retrieval(runs[0], joined, seed=0)["rsum"].value == pytest.approx(
        joined.rsum.value - runs[0].rsum.value
    )


def test_runs_on_different_splits_are_not_compared():
    [run] = noisy_runs([0.4], [1])
    rng = np.random.default_rng(0)
    images = unit(rng, 5, 3)
    other = retrieval(images, images, sparse.csr_array(np.eye(5, dtype=bool)), seed=0)
    with pytest.raises(DataError, match="one split"):
        paired_retrieval(run, other, seed=0)
    with pytest.raises(DataError, match="one split"):
        mean_over_seeds([run, other], seed=0)
