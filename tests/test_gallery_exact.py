"""The exact engine, and the check that every engine must pass."""

from __future__ import annotations

import numpy as np
import pytest

from visita.errors import DataError
from visita.gallery import engines as exact
from visita.gallery.engines import ExactIndex
from visita.testing import check_index


def vectors(n: int, d: int, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).normal(size=(n, d))
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def test_the_exact_engine_keeps_the_contract():
    check_index(ExactIndex)


@pytest.mark.parametrize("k", [1, 7, 600])
def test_blocks_change_nothing(monkeypatch, k):
    gallery, queries = vectors(500, 33), vectors(40, 33, seed=1)
    rows, scores = ExactIndex(gallery).search(queries, k)
    monkeypatch.setattr(exact, "_BLOCK_SCORES", 1100)
    monkeypatch.setattr(exact, "_BLOCK_ROWS", 5)
    again = ExactIndex(gallery).search(queries, k)
    assert np.array_equal(again[0], rows) and np.array_equal(again[1], scores)


def test_ties_at_the_cut_are_kept_in_the_order_of_rows():
    gallery = np.repeat(vectors(4, 8), 30, axis=0)[np.random.default_rng(0).permutation(120)]
    query = gallery[11]
    same = [row for row in range(120) if np.array_equal(gallery[row], query)]
    rows, scores = ExactIndex(gallery).search(query[None], 12)
    assert rows[0].tolist() == same[:12]
    assert len(set(scores[0].tolist())) == 1


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_rounding_never_hides_a_better_vector(k):
    noise = np.random.default_rng(0).normal(scale=1e-7, size=(2000, 300))
    gallery = (vectors(1, 300) + noise).astype(np.float32)
    queries = vectors(10, 300, seed=3)
    rows, _ = ExactIndex(gallery).search(queries, k)
    true = (queries.astype(float) @ gallery.astype(float).T).astype(np.float32)
    for i in range(10):
        assert rows[i].tolist() == np.lexsort((np.arange(2000), -true[i]))[:k].tolist()


def test_vectors_of_any_length_are_compared_exactly():
    gallery = vectors(300, 16) * np.geomspace(1e-12, 1e12, 300, dtype=np.float32)[:, None]
    query = vectors(1, 16, seed=2)
    true = [float(np.dot(query[0].astype(float), v.astype(float))) for v in gallery]
    rows, _ = ExactIndex(gallery).search(query, 300)
    assert rows[0].tolist() == sorted(range(300), key=lambda row: -np.float32(true[row]))


def test_what_is_no_table_of_numbers_is_refused():
    with pytest.raises(DataError, match=r"must be an array \(n, d\)"):
        ExactIndex(np.zeros(3, np.float32))
    with pytest.raises(DataError, match="matcher that the gallery was synchronized with"):
        ExactIndex(vectors(3, 4)).search(vectors(1, 5), 1)
    with pytest.raises(DataError, match="The query holds numbers that are not finite"):
        ExactIndex(vectors(3, 4)).search(np.full((1, 4), np.inf, np.float32), 1)


class Reversed(ExactIndex):
    def search(self, queries, k):
        rows, scores = super().search(queries, k)
        return rows[:, ::-1], scores[:, ::-1]


class Wide(ExactIndex):
    def search(self, queries, k):
        rows, scores = super().search(queries, k)
        return rows, scores.astype(np.float64)


class Careless(ExactIndex):
    def search(self, queries, k):
        rows, scores = super().search(np.nan_to_num(queries), k)
        return rows, scores


class Forgetful(ExactIndex):
    """Never finds the upper half."""

    def __init__(self, vectors):
        super().__init__(vectors)
        self.half = ExactIndex(vectors[: max(1, len(vectors) // 2)])

    def search(self, queries, k):
        return self.half.search(queries, k) if k == 1 else super().search(queries, k)


class TiesTheOtherWay(ExactIndex):
    def __init__(self, vectors):
        super().__init__(vectors[::-1])
        self.n = len(vectors)

    def search(self, queries, k):
        rows, scores = super().search(queries, k)
        return self.n - 1 - rows, scores


@pytest.mark.parametrize(
    ("engine", "fault"),
    [
        (Reversed, "best score must come first"),
        (Wide, "scores must be float32"),
        (Careless, "NaN in a query"),
        (Forgetful, "equal scores|best matches"),
        (TiesTheOtherWay, "order of rows"),
    ],
)
def test_the_check_finds_engines_that_break_the_contract(engine, fault):
    with pytest.raises(AssertionError, match=fault):
        check_index(engine)


def test_an_approximate_engine_passes_with_the_recall_it_has():
    check_index(TiesTheOtherWay, recall=0.8)
    with pytest.raises(AssertionError, match="best matches were found"):
        check_index(Forgetful, recall=0.8)
