"""The past as a kernel beside the matcher's own, against loops written from its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from visita.evaluation.ranks import mean_ranks
from visita.search.collaborative import recommendations
from visita.search.passages import unit
from visita.search.past import (
    TEMPERATURE,
    WEIGHTS,
    PastArticles,
    choose_weight,
    combine,
    cross_fitted_gain,
    cross_fitted_ranks,
)


def units(rng: np.random.Generator, rows: int, width: int = 12) -> np.ndarray:
    return unit(rng.standard_normal((rows, width)))


def dot(a: np.ndarray, b: np.ndarray) -> float:
    return sum(float(x) * float(y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("neighbours", [1, 4, 30])
def test_the_kernel_is_the_sum_over_the_nearest_past_texts(neighbours):
    rng = np.random.default_rng(0)
    texts, images, gallery = units(rng, 20, 5), units(rng, 9), units(rng, 6)
    pictures = rng.integers(0, 9, 20)
    past = PastArticles(texts, pictures, images, neighbours)
    articles = units(rng, 7, 5)
    scores = past.vectors(articles) @ gallery.T
    for m, article in enumerate(articles):
        cosines = [dot(article, text) for text in texts]
        nearest = sorted(range(20), key=lambda row: -cosines[row])[:neighbours]
        shares = [math.exp(cosines[row] / TEMPERATURE) for row in nearest]
        for n, picture in enumerate(gallery):
            fits = [dot(images[pictures[row]], picture) for row in nearest]
            expected = sum(s * f for s, f in zip(shares, fits, strict=True)) / sum(shares)
            assert scores[m, n] == pytest.approx(expected, abs=1e-5)


def test_with_one_neighbour_it_is_the_papers_recommendation():
    rng = np.random.default_rng(1)
    texts, images, gallery = units(rng, 20, 5), units(rng, 9), units(rng, 6)
    pictures, articles = rng.integers(0, 9, 20), unit(rng.random((7, 5)))
    blocks = recommendations(articles, texts, pictures, images, gallery)
    expected = np.concatenate([scores for _, scores in blocks])
    found = PastArticles(texts, pictures, images, 1).vectors(articles) @ gallery.T
    assert np.allclose(found, expected, atol=1e-6)


def test_what_is_like_nothing_past_gets_no_vote():
    basis = np.eye(4, dtype=np.float32)
    past = PastArticles(basis[:2], np.array([0, 1]), basis)
    articles = np.stack([basis[3], -basis[0] - basis[1], 0 * basis[0], basis[1]])
    rows, cosines, shares = past.nearest(articles)
    assert rows.shape == cosines.shape == shares.shape == (4, 2)
    assert (shares[:3] == 0).all()
    assert shares[3].sum() == pytest.approx(1, abs=1e-6)
    assert (past.vectors(articles)[:3] == 0).all()
    both = combine(basis, past.vectors(articles), 0.75)
    assert np.array_equal(both[:3], basis[:3])
    assert np.allclose(both[3], basis[3] / 4 + past.vectors(articles)[3] * 3 / 4)
    assert np.array_equal(combine(basis[0], 0 * basis[0], 1), basis[0])


def problem(noise_direct: float, noise_past: float) -> tuple[np.ndarray, ...]:
    """Return vectors of 120 articles, two an image, by both kernels, the images and the truth."""
    rng = np.random.default_rng(2)
    images = units(rng, 60)
    owners = np.repeat(np.arange(60), 2)
    direct = unit(images[owners] + noise_direct * units(rng, 120))
    past = unit(images[owners] + noise_past * units(rng, 120))
    truth = sparse.csr_array((np.ones(120, bool), (owners, np.arange(120))), shape=(60, 120))
    return direct, past, images, truth


def test_the_weight_is_the_one_with_the_best_recalls():
    direct, past, images, truth = problem(1.5, 1.2)
    owners = truth.tocoo().coords[0]

    def recalls(weight: float) -> float:
        scores = ((1 - weight) * direct + weight * past) @ images.T
        ranks = [1 + (row > row[own]).sum() for row, own in zip(scores, owners, strict=True)]
        return sum(np.mean(np.array(ranks) <= k) for k in (1, 5, 10))

    chosen = choose_weight(direct, past, images, truth)
    assert recalls(chosen) == max(map(recalls, WEIGHTS))
    assert 0 < chosen < 1


def test_a_past_that_tells_nothing_has_no_weight_and_no_gain():
    direct, past, images, truth = problem(0.1, 50.0)
    assert choose_weight(direct, past, images, truth) == 0
    assert choose_weight(direct, np.zeros_like(past), images, truth) == 0
    gain = cross_fitted_gain(direct, np.zeros_like(past), images, truth, seed=0)
    assert (gain.value, gain.low, gain.high) == (0, 0, 0)


def test_the_gain_is_that_of_ranks_with_weights_from_the_other_half():
    direct, past, images, truth = problem(3.0, 1.0)
    owners = truth.tocoo().coords[0]
    ranks = mean_ranks(cross_fitted_ranks(direct, past, images, truth, seed=0))
    possible = np.stack(
        [1 + (s > s[np.arange(120), owners][:, None]).sum(axis=1) for s in
         (combine(direct, past, weight) @ images.T for weight in WEIGHTS)]
    )  # fmt: skip
    assert ((possible == ranks).sum(axis=1) >= 40).any()
    assert (possible == ranks).any(axis=0).all()
    gain = cross_fitted_gain(direct, past, images, truth, seed=0)
    alone = possible[0]
    assert gain.value == pytest.approx(100 * np.mean((ranks <= 10) * 1.0 - (alone <= 10)))
    assert gain.low > 0
