"""P(match | score, gallery size) for keywords, of which many pictures of a gallery are true.

A caption has one true picture, so its probability falls with the gallery; "dog" has as
many as there are dogs. Galleries are therefore random parts of the images as they are,
and every relevant picture among the first ten counts as a match.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from visita.errors import DataError
from visita.evaluation.blocks import Truth, check_scores
from visita.evaluation.calibration import FIT_SIZES, MEASURED_SIZES, fit_results, measure_results
from visita.evaluation.galleries import TOP, GalleryResults
from visita.matchers.calibration import Calibration
from visita.types import FloatArray

LEAST_WORDS = 20
_ROUNDS = 20
_PICTURES = 4000  # so many are drawn in all a size, up to _ROUNDS galleries


def fit_keyword_calibration(
    image_vectors: FloatArray,
    query_vectors: FloatArray,
    relevance: Truth,
    *,
    sizes: Sequence[int] = FIT_SIZES,
    seed: int,
) -> Calibration:
    """Fit the calibration of one-word queries on a split that was not trained on.

    Parameters
    ----------
    image_vectors, query_vectors : float32 (n, d), (words, d)
        Inner products are scores.
    relevance : csr bool (words, n)
    sizes : sequence of int
        Gallery sizes; those above n become n.

    Raises
    ------
    DataError
        If there are fewer than ``LEAST_WORDS`` words, or a score is not finite.
    """
    if len(query_vectors) < LEAST_WORDS:
        raise DataError(f"Keywords are calibrated on {LEAST_WORDS} words or more.")
    return fit_results(draw_parts(image_vectors, query_vectors, relevance, sizes, seed))


def cross_fitted_keyword_error(
    image_vectors: FloatArray,
    query_vectors: FloatArray,
    relevance: Truth,
    *,
    sizes: Sequence[int] = MEASURED_SIZES,
    seed: int,
) -> dict[str, Any]:
    """Fit on one half of the words, measure on the other, and the other way round.

    Returns the same as ``calibration_error``.

    Raises
    ------
    DataError
        If there are fewer than twice ``LEAST_WORDS`` words, or a score is not finite.
    """
    order = np.random.default_rng(seed).permutation(len(query_vectors))
    halves = order[::2], order[1::2]
    both = []
    for fitted, measured in (halves, halves[::-1]):
        calibration = fit_keyword_calibration(
            image_vectors, query_vectors[fitted], relevance[fitted], seed=seed
        )
        drawn = draw_parts(image_vectors, query_vectors[measured], relevance[measured], sizes, seed)
        both.append((calibration, list(drawn)))
    return measure_results(both)


def draw_parts(
    image_vectors: FloatArray,
    query_vectors: FloatArray,
    relevance: Truth,
    sizes: Sequence[int],
    seed: int,
) -> Iterator[GalleryResults]:
    """Search with each word in random parts of the images; one result a size."""
    rng = np.random.default_rng(seed)
    scores = np.asarray(query_vectors @ image_vectors.T, np.float32)
    check_scores(scores)
    labels = relevance.toarray().astype(bool)
    count = len(image_vectors)
    for size in sorted({min(size, count) for size in sizes}):
        rounds = 1 if size == count else min(_ROUNDS, max(1, _PICTURES // size))
        parts = [rng.choice(count, size, replace=False) for _ in range(rounds)]
        found = [_first(scores[:, part], labels[:, part]) for part in parts]
        top, true = (np.concatenate(side) for side in zip(*found, strict=True))
        yield GalleryResults(size, top, true)


def _first(scores: FloatArray, labels: Any) -> tuple[FloatArray, Any]:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :TOP]
    top = np.full((len(scores), TOP), -np.inf, dtype=np.float32)
    true = np.zeros((len(scores), TOP), dtype=bool)
    top[:, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
    true[:, : order.shape[1]] = np.take_along_axis(labels, order, axis=1)
    return top, true
