import numpy as np
import pytest
from scipy import sparse

from visita.errors import DataError
from visita.evaluation import paired_difference
from visita.evaluation.intervals import components, estimates, group_sums, weighted_medians


def test_components_hold_together_what_shares_a_text_and_nothing_else():
    truth = np.zeros((5, 6), dtype=bool)
    truth[0, 0] = truth[0, 1] = truth[1, 1] = truth[1, 2] = True  # a chain of two images
    truth[2, 3] = truth[2, 4] = True
    truth[3, 5] = True  # image 4 has no text
    found = components(sparse.csr_array(truth))
    assert found.count == 4
    assert found.images[0] == found.images[1] == found.texts[0] == found.texts[1] == found.texts[2]
    assert found.images[2] == found.texts[3] == found.texts[4]
    assert found.images[3] == found.texts[5]
    assert len(set(found.images[1:].tolist())) == 4


def test_weights_are_draws_with_replacement():
    drawn = []
    estimates(lambda weights: drawn.extend(weights) or weights, 30, seed=0, resamples=250)
    weights = np.array(drawn)
    assert weights.shape == (251, 30)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 30).all()
    assert weights[1:].var() == pytest.approx(1 - 1 / 30, rel=0.05)  # multinomial
    assert len(np.unique(weights[1:], axis=0)) == 250


@pytest.mark.parametrize("count", [1, 2, 7, 30])
def test_weighted_medians_are_those_of_the_repeated_values(count):
    rng = np.random.default_rng(count)
    values = rng.integers(1, 9, size=count) / 2
    groups = rng.integers(0, 4, size=count)
    weights = rng.integers(0, 3, size=(20, 4)).astype(float)
    weights = weights[weights[:, groups].sum(axis=1) > 0]
    found = weighted_medians(values, groups)(weights)
    expected = [np.median(np.repeat(values, row[groups].astype(int))) for row in weights]
    assert len(expected) > 5
    np.testing.assert_array_equal(found[:, 0], expected)


def test_group_sums_are_those_of_a_loop():
    values, groups = np.arange(8.0).reshape(4, 2), np.array([1, 0, 1, 3])
    assert group_sums(values, groups, 5).tolist() == [[2, 3], [4, 6], [0, 0], [6, 7], [0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("per_group", [1, 5])
def test_intervals_cover_the_true_difference_about_95_times_in_100(per_group):
    # Queries of one group share most of their noise, so single queries are no units.
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), per_group)
    covered, rejected = 0, 0
    for seed in range(400):
        noise = rng.normal(size=60)[groups] + 0.2 * rng.normal(size=len(groups))
        found = paired_difference(
            np.zeros(len(groups)), 0.3 + noise, groups, seed=seed, resamples=200
        )
        covered += found.low <= 0.3 <= found.high
        null = paired_difference(np.zeros(len(groups)), noise, groups, seed=seed, resamples=200)
        rejected += null.p_value <= 0.05
    assert 0.91 <= covered / 400 <= 0.975
    assert 0.025 <= rejected / 400 <= 0.09


def test_paired_difference_is_b_minus_a_weighted_by_queries():
    a, b = np.array([0, 0, 0, 10.0]), np.array([1, 2, 3, 10.0])
    found = paired_difference(a, b, np.array([0, 0, 0, 1]), seed=0)
    assert found.value == pytest.approx(1.5)
    # Two groups: both twice the first, both twice the second, or one of each.
    assert (found.low, found.high) == (0, 2)
    swapped = paired_difference(b, a, np.array([0, 0, 0, 1]), seed=0)
    assert swapped.value == pytest.approx(-1.5)
    assert swapped.p_value == found.p_value


def test_systems_measured_on_different_queries_are_refused():
    with pytest.raises(DataError, match="same queries"):
        paired_difference(np.zeros(3), np.zeros(4), np.arange(4), seed=0)


def test_one_group_has_no_interval():
    with pytest.raises(DataError, match="two images or more"):
        paired_difference(np.zeros(3), np.ones(3), np.zeros(3, dtype=np.int64), seed=0)
