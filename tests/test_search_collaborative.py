"""Equations 7 and 8 of the fusion paper, against loops written from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import sparse

from visita.errors import DataError
from visita.search.collaborative import nearest_past, past_pictures, recommendations

pytestmark = pytest.mark.slow


def cosine(a, b) -> float:
    dot = sum(float(x) * float(y) for x, y in zip(a, b, strict=True))
    lengths = math.sqrt(sum(float(x) ** 2 for x in a)) * math.sqrt(sum(float(y) ** 2 for y in b))
    return dot / lengths if lengths else 0.0


def vectors(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    scales = rng.uniform(0.01, 100, (rows, 1))
    return (rng.standard_normal((rows, width)) * scales).astype(np.float32)


def test_the_recommendation_is_that_of_the_equations():
    rng = np.random.default_rng(0)
    queries, texts = vectors(rng, 40, 7), vectors(rng, 60, 7)
    images, gallery = vectors(rng, 30, 5), vectors(rng, 25, 5)
    pictures = rng.integers(0, 30, 60)

    nearest = [max(range(60), key=lambda row: cosine(query, texts[row])) for query in queries]
    expected = [[cosine(images[pictures[row]], one) for one in gallery] for row in nearest]

    assert nearest_past(queries, texts).tolist() == nearest
    blocks = recommendations(queries, texts, pictures, images, gallery)
    assert blocks.shape == (40, 25)
    found = np.concatenate([scores for _, scores in blocks])
    assert np.allclose(found, expected, atol=1e-6)


def test_of_equally_near_texts_the_first_is_taken_wherever_it_lies():
    rng = np.random.default_rng(1)
    texts = vectors(rng, 999, 31)
    for row in (17, 500, 998):
        texts[row] = texts[3] * np.float32(2) ** rng.integers(-3, 4)
    queries = texts[[3, 17, 500, 998]]
    assert nearest_past(queries, texts).tolist() == [3, 3, 3, 3]


def test_zero_vectors_are_like_nothing_and_break_nothing():
    texts = np.array([[-1, 0], [0, 0], [0, 2]], np.float32)
    queries = np.array([[1, 0], [0, 0], [0, 1]], np.float32)
    assert nearest_past(queries, texts).tolist() == [1, 0, 2]
    blocks = recommendations(queries, texts, np.array([0, 1, 1]), texts[:2], texts)
    found = np.concatenate([scores for _, scores in blocks])
    assert found.tolist() == [[0, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_many_queries_are_gone_through_in_blocks():
    rng = np.random.default_rng(2)
    texts = vectors(rng, 20_000, 4)
    queries = texts[rng.permutation(20_000)[:3000]]
    units = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    rows = nearest_past(queries, texts)
    best = (units[rows] * queries).sum(axis=1) / np.linalg.norm(queries, axis=1)
    assert np.allclose(best, 1, atol=1e-6)


def test_the_picture_of_a_past_text_is_its_first():
    truth = np.zeros((4, 5), bool)
    for image, text in [(2, 0), (1, 0), (0, 1), (3, 2), (0, 3), (3, 3), (1, 4)]:
        truth[image, text] = True
    assert past_pictures(sparse.csr_array(truth)).tolist() == [1, 0, 3, 0, 1]
    with pytest.raises(DataError, match="has no picture"):
        past_pictures(sparse.csr_array(truth[:3]))


def test_nothing_past_and_other_widths_are_refused():
    some = np.ones((3, 4), np.float32)
    with pytest.raises(DataError, match="no past text"):
        nearest_past(some, some[:0])
    with pytest.raises(DataError, match="numbers"):
        nearest_past(some[:, :2], some)
    with pytest.raises(DataError, match="cannot be compared"):
        recommendations(some, some, np.zeros(3, np.int64), some, some[:, :3])
