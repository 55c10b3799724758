"""Weights of similarities: the ones that made the data come back, with honest intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize, sparse

from visita.errors import DataError
from visita.kernels.weights import SPREAD, Choices

TEXTS = 3
"""Of each image; they choose the image, and it chooses them."""
NONE = np.zeros(0, np.int64)


def truth_of(images: int, texts: int = TEXTS) -> sparse.csr_array:
    """Return the truth in which each image has texts of its own, one after another."""
    rows = np.repeat(np.arange(images), texts)
    cells = np.ones(len(rows), bool), (rows, np.arange(len(rows)))
    return sparse.csr_array(cells, shape=(images, len(rows)))


def drawn(weights: list[float], images: int = 150, texts: int = 1, seed: int = 0) -> Choices:
    """Return noise in which the true pairs stand out as ``weights`` of a conditional logit do.

    A text's true image has a score drawn from the noise tilted by exp(w s): among equal noise
    it is then the one that is chosen with probability softmax(w s).
    """
    rng = np.random.default_rng(seed)
    truth = truth_of(images, texts)
    shape = (len(weights), *truth.shape)
    noise = rng.normal(0, 0.3, shape)
    rows, columns = truth.nonzero()
    noise[:, rows, columns] += 0.3**2 * np.array(weights)[:, None]
    return Choices(noise.astype(np.float32), truth, np.ones(images, bool))


def naive_loss(choices: Choices, w: np.ndarray) -> float:
    """Return the sum of both directions' losses and the prior's, pair by pair."""
    true = choices.truth.toarray()
    scores = np.tensordot(w, choices.similarities.astype(np.float64), 1)
    total = w @ w / (2 * SPREAD**2)
    for i, t in zip(*true.nonzero(), strict=True):
        if choices.learnt[i]:
            for rivals in (scores[i][~true[i]], scores[:, t][~true[:, t]]):
                total += np.log(np.exp(scores[i, t]) + np.exp(rivals).sum()) - scores[i, t]
    return float(total)


def test_the_fit_is_the_least_of_the_naive_loss():
    choices = drawn([6.0, 2.0], images=12, texts=2)
    choices = Choices(choices.similarities, choices.truth, np.arange(12) % 3 > 0)
    found = choices.fit()
    least = optimize.minimize(lambda w: naive_loss(choices, w), [1.0, 1.0], bounds=[(0, None)] * 2)
    assert np.allclose(found, least.x, rtol=2e-2)
    assert naive_loss(choices, found) <= least.fun + 1e-3


def test_known_weights_come_back_and_noise_gets_none():
    choices = drawn([9.0, 4.0, 0.0, 2.0], images=400)
    assert np.allclose(choices.fit(), [9, 4, 0, 2], atol=0.9)
    wrong = Choices(-choices.similarities[2:3], choices.truth, choices.learnt)
    both = np.concatenate([choices.similarities[:1], -choices.similarities[1:2]])
    against = Choices(both, choices.truth, choices.learnt).fit()
    assert against[1] == 0 and against[0] > 5
    assert wrong.fit()[0] < 1


@pytest.mark.slow
def test_weights_drawn_again_are_those_of_fitting_again():
    choices = drawn([7.0, 3.0, 0.0], images=60, texts=2)
    w = choices.fit()
    groups = np.arange(60)
    found = choices.resampled(w, groups, seed=1, resamples=400)
    assert found.shape == (400, 3) and (found >= 0).all()
    counts = np.random.default_rng(1).multinomial(60, np.full(60, 1 / 60), size=400)

    def again(count: np.ndarray) -> np.ndarray:
        # Drawn twice, an image's pairs count twice; what is chosen from stays as it is.
        def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
            total, slope = 0.0, w / SPREAD**2
            for times in range(1, count.max() + 1):
                some = Choices(choices.similarities, choices.truth, count >= times)
                pairs = 2 * some.learnt.sum()
                value, gradient = some._loss(w)
                total += value * pairs - w @ w / (2 * SPREAD**2)
                slope = slope + gradient * pairs - w / SPREAD**2
            return total + w @ w / (2 * SPREAD**2), slope

        return optimize.minimize(loss, w, jac=True, bounds=[(0, None)] * 3).x

    refitted = np.array([again(count) for count in counts[:60]])
    assert np.corrcoef(found[:60, 0], refitted[:, 0])[0, 1] > 0.9
    for level in (2.5, 97.5):
        gap = np.percentile(found[:60], level, axis=0) - np.percentile(refitted, level, axis=0)
        assert (np.abs(gap) < 1.5).all()


def test_the_same_seed_draws_the_same():
    choices = drawn([7.0, 3.0], images=20)
    w = choices.fit()
    draws = [choices.resampled(w, np.arange(20), seed=s, resamples=9) for s in (0, 0, 1)]
    assert np.array_equal(draws[0], draws[1]) and not np.array_equal(draws[0], draws[2])


def test_pairs_without_a_mistake_have_finite_weights():
    truth = truth_of(10)
    perfect = truth.toarray().astype(np.float32)
    found = Choices(np.stack([perfect, perfect]), truth, np.ones(10, bool)).fit()
    assert np.isfinite(found).all() and np.allclose(*found, rtol=1e-3)


@pytest.mark.parametrize(
    ("truth", "learnt"),
    [
        (truth_of(1), np.ones(1, bool)),
        (truth_of(5), np.zeros(5, bool)),
        (sparse.csr_array(np.ones((4, 1), bool)), np.ones(4, bool)),
        (sparse.csr_array((3, 3), dtype=bool), np.ones(3, bool)),
    ],
    ids=["one image", "nothing to learn", "a text for all", "no pair"],
)
def test_what_cannot_be_learnt_from_is_refused(truth, learnt):
    with pytest.raises(DataError, match="texts of their own"):
        Choices(np.zeros((2, *truth.shape), np.float32), truth, learnt)
