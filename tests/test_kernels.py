"""Kernels: the closed forms against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import linalg, sparse

from visita.kernels.cca import cca
from visita.kernels.weights import reduction, second_moments
from visita.vectors import join


def many_to_many(n: int, m: int, seed: int = 0) -> sparse.csr_array:
    """Return a truth in which texts share images and images share texts."""
    rng = np.random.default_rng(seed)
    dense = np.zeros((n, m), bool)
    dense[rng.integers(0, n, m), np.arange(m)] = True
    dense[rng.integers(0, n, m // 3), rng.integers(0, m, m // 3)] = True
    return sparse.csr_array(dense)


def standardised(rows: np.ndarray) -> np.ndarray:
    return ((rows - rows.mean(0)) / rows.std(0)).astype(np.float32)


def related(n: int, m: int, d: int, e: int, truth: sparse.csr_array) -> tuple[np.ndarray, ...]:
    """Return features of both sides that share three hidden directions."""
    rng = np.random.default_rng(1)
    hidden = rng.standard_normal((n, 3))
    owners = truth.T.tocsr().argmax(axis=1)
    images = hidden @ rng.standard_normal((3, d)) + rng.standard_normal((n, d))
    texts = hidden[owners] @ rng.standard_normal((3, e)) + rng.standard_normal((m, e))
    return standardised(images), standardised(texts)


def naive_cca(images, texts, truth, dim, image_ridge, text_ridge):
    """Expand every pair and solve the generalised eigenproblem of the textbook."""
    rows, columns = truth.nonzero()
    x, y = images[rows].astype(np.float64), texts[columns].astype(np.float64)
    d, e, count = x.shape[1], y.shape[1], len(x)
    cross = np.zeros((d + e, d + e))
    cross[:d, d:] = x.T @ y / count
    cross[d:, :d] = cross[:d, d:].T
    own = np.zeros_like(cross)
    own[:d, :d] = x.T @ x / count + image_ridge * np.eye(d)
    own[d:, d:] = y.T @ y / count + text_ridge * np.eye(e)
    values, vectors = linalg.eigh(cross, own)
    best = np.argsort(-values)[:dim]
    # Each vector has length 1 in both spaces together, sqrt(1/2) in each.
    return values[best], *(np.sqrt(2) * part[:, best] for part in np.split(vectors, [d]))


@pytest.mark.parametrize(("image_ridge", "text_ridge"), [(0.01, 0.01), (2.0, 0.1)])
def test_cca_solves_the_generalised_eigenproblem_on_all_pairs(image_ridge, text_ridge):
    truth = many_to_many(60, 100)
    assert truth.sum(0).max() > 1 and truth.sum(1).max() > 1
    images, texts = related(60, 100, 7, 5, truth)
    found = cca(images, texts, truth, 4, image_ridge=image_ridge, text_ridge=text_ridge)
    values, image_map, text_map = naive_cca(images, texts, truth, 4, image_ridge, text_ridge)
    assert found[0].shape == (7, 4) and found[1].shape == (5, 4)
    assert found[0].dtype == found[1].dtype == np.float32
    for k in range(4):
        # Up to one sign that both sides share, and weighted by the correlation.
        sign = np.sign(found[0][:, k] @ image_map[:, k])
        assert np.allclose(found[0][:, k], sign * values[k] * image_map[:, k], atol=1e-4)
        assert np.allclose(found[1][:, k], sign * values[k] * text_map[:, k], atol=1e-4)


def test_cca_finds_who_belongs_to_whom():
    truth = sparse.csr_array(np.eye(200, dtype=bool))
    images, texts = related(200, 200, 30, 20, truth)
    image_map, text_map = cca(images, texts, truth, 3, image_ridge=0.1, text_ridge=0.1)
    x, y = images @ image_map, texts @ text_map
    cosines = (x @ y.T) / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    ranks = (cosines > np.diag(cosines)[:, None]).sum(1)
    assert np.median(ranks) < 20  # 100 by chance


def test_cca_keeps_no_more_directions_than_there_are():
    truth = many_to_many(40, 40)
    images, texts = related(40, 40, 6, 3, truth)
    image_map, text_map = cca(images, texts, truth, 10, image_ridge=1.0, text_ridge=1.0)
    assert image_map.shape == (6, 3) and text_map.shape == (3, 3)


def test_cca_survives_features_that_never_change():
    truth = many_to_many(40, 60)
    images, texts = related(40, 60, 6, 4, truth)
    images[:, 2] = 0
    image_map, text_map = cca(images, texts, truth, 3, image_ridge=0.1, text_ridge=0.1)
    assert np.isfinite(image_map).all() and np.isfinite(text_map).all()
    assert np.allclose(image_map[2], 0, atol=1e-6)


def test_joined_parts_have_the_weighted_sum_as_inner_product():
    rng = np.random.default_rng(0)
    weights = [0.5, 0.3, 0.2, 0.0]
    images = [rng.standard_normal((4, d)).astype(np.float32) for d in (3, 5, 2, 7)]
    texts = [rng.standard_normal((6, d)).astype(np.float32) for d in (3, 5, 2, 7)]
    found = join(images, weights) @ join(texts, weights).T
    assert join(images, weights).shape == (4, 17) and found.dtype == np.float32
    for i in range(4):
        for j in range(6):
            total = sum(
                w * float(np.dot(a[i], b[j]))
                for w, a, b in zip(weights, images, texts, strict=True)
            )
            assert found[i, j] == pytest.approx(total, abs=1e-5)


def test_a_weight_is_asked_for_every_part():
    with pytest.raises(ValueError, match="zip"):
        join([np.ones((1, 2), np.float32)], [0.5, 0.5])


def rows_of_rank(rank: int, count: int, dim: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    shared = np.random.default_rng(99).standard_normal((rank, dim))
    return (rng.standard_normal((count, rank)) @ shared).astype(np.float32)


def test_a_reduction_that_is_wide_enough_keeps_inner_products():
    images, texts = rows_of_rank(4, 30, 12, 0), rows_of_rank(4, 50, 12, 1)
    for dim in (4, 12, 20):
        basis = reduction(second_moments([images[:9], images[9:]]), second_moments([texts]), dim)
        assert basis.shape == (12, min(dim, 12)) and basis.dtype == np.float32
        assert np.allclose(basis.T @ basis, np.eye(min(dim, 12)), atol=1e-5)
        assert np.allclose((images @ basis) @ (texts @ basis).T, images @ texts.T, atol=1e-3)


def test_a_reduction_keeps_the_directions_with_most_on_both_sides():
    rng = np.random.default_rng(0)
    spread = np.geomspace(5, 0.1, 8)
    images = (rng.standard_normal((300, 8)) * spread).astype(np.float32)
    texts = (rng.standard_normal((40, 8)) * spread[::-1]).astype(np.float32)
    # Each side counts alike, however many rows it has.
    stacked = np.concatenate([images / np.sqrt(300), texts / np.sqrt(40)])
    _, _, right = np.linalg.svd(stacked.astype(np.float64))
    basis = reduction(second_moments([images]), second_moments([texts]), 4)
    assert np.allclose(basis @ basis.T, right[:4].T @ right[:4], atol=1e-4)
