"""Fitting and measuring P(match | score, gallery size), by logistic regression.

The examples are the first ten results of text queries, labelled match or no match;
the first result weighs as much as the other nine together, and each gallery size
the same. One formula for all ten is a compromise: at equal score a first result is
right more often than a fifth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.evaluation.blocks import Truth, blocks_with_truth, check_truth, dot_blocks
from visita.evaluation.intervals import components
from visita.matchers.probability import Calibration, score_feature
from visita.matchers.standing_out import Crowd, SearchCalibration, usual_in_search
from visita.matchers.usual import NOT_KNOWN, Usual, usual_scores
from visita.types import FloatArray


def logistic(
    features: NDArray[np.float64],
    labels: NDArray[np.bool_],
    weights: NDArray[np.float64] | None = None,
) -> tuple[float, ...]:
    """Return the intercept and a number for each feature.

    Parameters
    ----------
    features : float64 (e, f)
    labels : bool (e,)
        Not all alike.
    weights : float64 (e,) or None
        How much each example counts.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - an extra: it is training

    # A faint penalty: it only matters where the labels can be told apart perfectly.
    model = LogisticRegression(C=1e4, tol=1e-6, max_iter=1000)
    model.fit(features, labels, sample_weight=weights)
    return float(model.intercept_[0]), *map(float, model.coef_[0])


TOP = 10
_QUERIES = 5000  # more texts than this are sampled: enough for three numbers, and minutes saved


@dataclass(frozen=True, slots=True, eq=False)
class GalleryResults:
    """The first results of q queries in galleries of about one size.

    ``scores`` float32 (q, TOP), best first, -inf where a gallery has fewer pictures;
    ``labels`` bool (q, TOP); ``size`` is what the galleries hold. ``usual`` is how the vectors
    score all of a gallery, (q, 1) each, where what stands for any is known.
    """

    size: int
    scores: FloatArray
    labels: NDArray[np.bool_]
    usual: Usual = NOT_KNOWN

    @property
    def crowd(self) -> Crowd:
        """What the results stand among."""
        best, second = self.scores[:, :1], self.scores[:, 1:2]
        return Crowd(self.size, self.usual, best, np.where(np.isfinite(second), second, best))


class VectorStage(NamedTuple):
    """Vectors of images (n, d) and texts (m, d), and of pictures that stand for any (b, d)."""

    images: FloatArray
    texts: FloatArray
    background: FloatArray

    def of_texts(self, rows: NDArray[np.int64]) -> VectorStage:
        """Return the same with some of the texts."""
        return self._replace(texts=self.texts[rows])

    def usual(self, rows: slice, held: NDArray[np.bool_], size: int) -> Usual:
        """Return how some texts score the pictures that their galleries hold, (q, 1) each."""
        texts = self.texts[rows]
        scores = np.where(held, texts @ self.images.T, np.nan)
        usual = usual_in_search(scores, size, usual_scores(self.background, texts))
        return Usual(usual.median[:, None], usual.spread[:, None])


def draw_galleries(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    sizes: Sequence[int],
    seed: int,
    stage: VectorStage | None = None,
) -> Iterator[GalleryResults]:
    """Search with each text in a random gallery of each size, one result a size.

    Half of the texts, drawn at random, have one true picture in the gallery, the
    others none; the rest are pictures that are not true for the text. More than
    5,000 texts are sampled. Sizes above n become n.

    Parameters
    ----------
    image_vectors, text_vectors : float32 (n, d), (m, d)
    truth : csr bool (n, m)
    sizes : sequence of int
        At least 1.
    stage : VectorStage or None
        The vectors that a search is by, to know what is usual in a gallery.

    Raises
    ------
    DataError
        If shapes disagree, a text has no image, a score is not finite or there is one image.
    """
    truth = check_truth(truth, (len(image_vectors), len(text_vectors)))
    images_of = truth.T.tocsr()
    if len(image_vectors) < 2 or not np.diff(images_of.indptr).all():
        raise DataError(
            "A calibration needs two images or more, and texts that each have an image; "
            "leave out texts without one."
        )
    rng = np.random.default_rng(seed)
    if len(text_vectors) > _QUERIES:
        some = np.sort(rng.choice(len(text_vectors), _QUERIES, replace=False))
        text_vectors, images_of = text_vectors[some], images_of[some]
        stage = stage and stage.of_texts(some)
    blocks = dot_blocks(text_vectors, image_vectors)
    for size in sorted({min(size, len(image_vectors)) for size in sizes}):
        parts = []
        for rows, scores, true in blocks_with_truth(blocks, images_of):
            held = _held(true, size, rng)
            usual = stage.usual(rows, held, size) if stage else NOT_KNOWN
            parts.append(GalleryResults(size, *_first(scores, true, held), usual))
        yield _join(parts)


def _held(true: Truth, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw one gallery a query: which pictures it holds, bool (q, n)."""
    queries, matches = true.shape[0], true.toarray()
    # The gallery is the pictures with the smallest keys: a true one for sure, or none.
    keys = np.where(matches, 2, rng.random(matches.shape))
    present = np.flatnonzero(rng.random(queries) < 0.5)
    picked = true.indptr[:-1] + (rng.random(queries) * np.diff(true.indptr)).astype(int)
    keys[present, true.indices[picked[present]]] = -1
    last = np.partition(keys, size - 1, axis=1)[:, size - 1, None]
    return np.asarray(keys <= np.minimum(last, 1))


def _first(
    scores: FloatArray, true: Truth, inside: NDArray[np.bool_]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return the first results of galleries, scores and labels as in ``GalleryResults``."""
    queries, matches = len(scores), true.toarray()
    held = np.where(inside, scores, -np.inf).astype(np.float32)
    first = np.argsort(-held, axis=1, kind="stable")[:, :TOP]
    top = np.full((queries, TOP), -np.inf, dtype=np.float32)
    labels = np.zeros((queries, TOP), dtype=bool)
    top[:, : first.shape[1]] = np.take_along_axis(held, first, axis=1)
    labels[:, : first.shape[1]] = np.take_along_axis(matches, first, axis=1)
    return top, labels & np.isfinite(top)


FIT_SIZES = (10, 30, 100, 300, 1000)
MEASURED_SIZES = (10, 100, 1000)
BINS = 15


def fit_calibration(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    *,
    sizes: Sequence[int] = FIT_SIZES,
    seed: int,
) -> Calibration:
    """Fit the calibration on a split that was not trained on, by logistic regression.

    Parameters
    ----------
    image_vectors, text_vectors : float32 (n, d), (m, d)
        Inner products are scores.
    truth : csr bool (n, m)
        Every text needs an image; images without texts are further pictures of the galleries.
    sizes : sequence of int
        Gallery sizes; those above n become n.
    seed : int
        Seed of the galleries.

    Raises
    ------
    DataError
        If shapes disagree, a text has no image, a score is not finite, or there are
        too few images or texts.
    """
    return fit_results(draw_galleries(image_vectors, text_vectors, truth, sizes, seed))


def fit_results(drawn: Iterable[GalleryResults]) -> Calibration:
    """Fit the calibration on results already labelled, each gallery size counting the same.

    Raises
    ------
    DataError
        If all labels are alike.
    """
    features, labels, weights = joined(_examples(results) for results in drawn)
    intercept, score_weight, size_weight = logistic(features, labels, weights)
    if score_weight < 0:  # worse than chance: no score tells anything
        features[:, 0] = 0
        intercept, score_weight, size_weight = logistic(features, labels, weights)
    return Calibration(intercept, score_weight, size_weight)


def calibration_error(
    calibration: Calibration,
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    *,
    sizes: Sequence[int] = MEASURED_SIZES,
    seed: int,
) -> dict[str, Any]:
    """Measure how far the probabilities are from what happens, galleries drawn as for fitting.

    Returns ``{"top1": {"10": {"error", "bins": [{"predicted", "observed", "count"}]},
    …}, "top10": …}``, keyed by gallery size; all in percent. ``error`` is the expected
    calibration error over 15 bins of equally many results.

    Raises
    ------
    DataError
        As ``fit_calibration``.
    """
    drawn = draw_galleries(image_vectors, text_vectors, truth, sizes, seed)
    return measure_results([(calibration, list(drawn))])


def cross_fitted_calibration_error(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    *,
    fit: Callable[[Iterable[GalleryResults]], Calibration | SearchCalibration] = fit_results,
    stage: VectorStage | None = None,
    seed: int,
) -> dict[str, Any]:
    """Fit on the texts of one half of the images, measure on the other, and the other way round.

    Galleries are drawn from all images, as by ``draw_galleries``. Images that share a text are in
    one half. Returns the same as ``calibration_error``.

    Raises
    ------
    DataError
        As ``fit_calibration``, or if all images hang together through shared texts.
    """
    truth = check_truth(truth, (len(image_vectors), len(text_vectors)))
    components_of, groups = np.unique(components(truth).texts, return_inverse=True)
    if len(components_of) < 2:
        raise DataError("All texts share images, so they cannot be halved; add more pairs.")
    first = np.random.default_rng(seed).permutation(len(components_of)) % 2 == 0
    halves = [np.flatnonzero(first[groups]), np.flatnonzero(~first[groups])]
    calibrations = []
    for fitted, measured in (halves, halves[::-1]):
        own, others = (
            draw_galleries(
                image_vectors,
                text_vectors[rows],
                truth[:, rows],
                sizes,
                seed,
                stage and stage.of_texts(rows),
            )
            for rows, sizes in ((fitted, FIT_SIZES), (measured, MEASURED_SIZES))
        )
        calibrations.append((fit(own), list(others)))
    return measure_results(calibrations)


def measure_results(
    fitted: Sequence[tuple[Calibration | SearchCalibration, Sequence[GalleryResults]]],
) -> dict[str, Any]:
    """Return the calibration error over several calibrations, each on results of its own."""
    predicted = [[predict(fit, results) for results in drawn] for fit, drawn in fitted]
    return _report([_join(parts) for parts in zip(*predicted, strict=True)])


def reliability(probabilities: FloatArray, labels: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the expected calibration error and its bins, in percent; NaN entries are left out.

    Results are sorted by probability and cut into 15 bins of equally many; the
    error is the mean distance, over results, of a bin's mean probability from its
    share of matches.
    """
    shown = np.isfinite(probabilities)
    order = np.argsort(probabilities[shown], kind="stable")
    predicted = probabilities[shown][order].astype(np.float64)
    observed = labels[shown][order]
    bins = [
        {
            "predicted": float(100 * predicted[rows].mean()),
            "observed": float(100 * observed[rows].mean()),
            "count": len(rows),
        }
        for rows in np.array_split(np.arange(len(predicted)), min(BINS, len(predicted)))
    ]
    error = sum(abs(b["predicted"] - b["observed"]) * b["count"] for b in bins) / len(predicted)
    return {"error": error, "bins": bins}


Examples = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]
"""Features (e, …), labels (e,) and weights (e,)."""


def joined(parts: Iterable[Examples]) -> Examples:
    """Return the examples of all parts.

    Raises
    ------
    DataError
        If all labels are alike.
    """
    features, labels, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    if labels.all() or not labels.any():
        raise DataError("There are too few texts to calibrate with; give twenty or more.")
    return features, labels, weights


def _examples(results: GalleryResults) -> Examples:
    """Return features (e, 2), labels (e,) and weights (e,) that sum to the number of queries."""
    shown = np.isfinite(results.scores)
    scores = results.scores[shown]
    features = np.stack([score_feature(scores), np.full(len(scores), np.log(results.size))], axis=1)
    return features, results.labels[shown], result_weights(shown)


def result_weights(shown: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return how much each result that is shown counts, (e,), with the sum of the queries.

    The first counts as much as the other nine together.
    """
    places = np.where(np.arange(TOP) == 0, TOP - 1.0, 1.0)
    weights = np.broadcast_to(places, shown.shape)[shown]
    return np.asarray(weights * (len(shown) / weights.sum()))


def predict(
    calibration: Calibration | SearchCalibration, results: GalleryResults
) -> GalleryResults:
    """Return the results with probabilities in place of scores, NaN where there is no result."""
    shown = np.isfinite(results.scores)
    scores = np.where(shown, results.scores, 0)
    if isinstance(calibration, SearchCalibration):
        said = calibration.probability(scores, results.crowd)
    else:
        said = calibration.probability(scores, results.size)
    return GalleryResults(results.size, np.where(shown, said, np.nan), results.labels)


def _report(predicted: Sequence[GalleryResults]) -> dict[str, Any]:
    return {
        f"top{top}": {
            str(results.size): reliability(
                results.scores[:, :top].ravel(), results.labels[:, :top].ravel()
            )
            for results in predicted
        }
        for top in (1, TOP)
    }


def _join(parts: Sequence[GalleryResults]) -> GalleryResults:
    return GalleryResults(
        parts[0].size,
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.labels for part in parts]),
        Usual(*map(np.vstack, zip(*(part.usual for part in parts), strict=True))),
    )
