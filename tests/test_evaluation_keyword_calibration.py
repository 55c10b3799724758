"""Probabilities of keywords: galleries as they are, every relevant picture a match."""

import numpy as np
import pytest
from scipy import sparse

from visita.errors import DataError
from visita.evaluation import cross_fitted_keyword_error, fit_keyword_calibration
from visita.evaluation.galleries import TOP
from visita.evaluation.keyword_calibration import LEAST_WORDS, draw_parts


def drawn(words: int = 60, images: int = 400, seed: int = 0):
    """Return vectors whose relevant pictures score higher, and the relevance."""
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(words, 32)).astype(np.float32)
    relevance = rng.random((words, images)) < rng.uniform(0.02, 0.3, (words, 1))
    pictures = rng.normal(size=(images, 32)) + relevance.T @ queries * 0.5
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (pictures, queries)]
    return *(v.astype(np.float32) for v in unit), sparse.csr_array(relevance)


def test_a_part_of_the_images_gives_its_own_best_with_their_labels():
    pictures, queries, relevance = drawn()
    scores, labels = queries @ pictures.T, relevance.toarray()
    [whole] = draw_parts(pictures, queries, relevance, (400,), seed=0)
    for word in range(len(queries)):
        best = np.argsort(-scores[word], kind="stable")[:TOP]
        assert whole.scores[word] == pytest.approx(scores[word, best], abs=1e-6)
        assert (whole.labels[word] == labels[word, best]).all()


def test_small_galleries_are_drawn_more_than_once_and_hold_their_size():
    pictures, queries, relevance = drawn()
    small, large = draw_parts(pictures, queries, relevance, (5, 300), seed=0)
    assert (np.isfinite(small.scores).sum(axis=1) == 5).all()
    assert len(small.scores) > len(large.scores) > len(queries)


def test_the_probability_follows_the_share_of_matches_at_any_gallery_size():
    pictures, queries, relevance = drawn()
    found = cross_fitted_keyword_error(pictures, queries, relevance, sizes=(10, 100), seed=0)
    assert found["top10"]["10"]["error"] < 6
    assert found["top10"]["100"]["error"] < 10
    calibration = fit_keyword_calibration(pictures, queries, relevance, seed=0)
    low, high = calibration.probability(np.float32([0.1, 0.9]), 100)
    assert low < 0.3
    assert high > 0.7


def test_few_words_are_refused():
    pictures, queries, relevance = drawn(words=LEAST_WORDS - 1)
    with pytest.raises(DataError, match="20 words"):
        fit_keyword_calibration(pictures, queries, relevance, seed=0)
