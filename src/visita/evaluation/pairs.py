"""The protocol ``pairs``: does this text match this image?

Every true pair, and as many false ones: an image with t true texts also meets t
random texts that are not true for it. What is measured meets several such draws, none of them one
that anything was fitted on: values are means over them, and a resample has one of them, so that
intervals hold their spread. Precision, recall and F1 are those of
``score >= threshold``. mAP is the mean of the average precisions of the two classes
*match* and *no match* (for the latter, the lowest scores come first): our reading
of eq. 7 of the MKL-VisITA paper with N = 2, since the paper names neither
negatives, threshold nor classes. Average precision and AUC are scikit-learn's,
equal scores being one step of the curve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from visita.brief import Brief
from visita.errors import DataError
from visita.evaluation.blocks import Truth, check_scores, check_truth
from visita.evaluation.intervals import (
    RESAMPLES,
    Estimate,
    Statistic,
    Values,
    components,
    estimates,
    group_sums,
    over_draws,
)
from visita.types import FloatArray


def ranking_metrics(
    scores: Values, labels: NDArray[np.bool_], groups: NDArray[np.int64]
) -> Statistic:
    """Return weights (r, groups) → mAP of the two classes and AUC, (r, 2), between 0 and 1.

    Equal to scikit-learn's with ``sample_weight=weights[groups]``, but sorts only once.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, labels, owners = scores[order], labels[order], groups[order]
    ends = np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))

    def statistic(weights: Values) -> Values:
        drawn = weights[:, owners]
        # From the top down to and including each distinct score: (r, distinct scores).
        true = np.cumsum(drawn * labels, axis=1)[:, ends]
        false = np.cumsum(drawn * ~labels, axis=1)[:, ends]
        true_steps = np.diff(true, axis=1, prepend=0)
        false_steps = np.diff(false, axis=1, prepend=0)
        all_true, all_false = true[:, -1:], false[:, -1:]
        # The same from the bottom up.
        true_below = all_true - true + true_steps
        false_below = all_false - false + false_steps
        match = (true_steps * _share(true, false)).sum(axis=1, keepdims=True) / all_true
        no_match = (false_steps * _share(false_below, true_below)).sum(axis=1, keepdims=True)
        beaten = (true_steps * (false_below - false_steps / 2)).sum(axis=1, keepdims=True)
        mean_precision = (match + no_match / all_false) / 2
        return np.concatenate([mean_precision, beaten / (all_true * all_false)], axis=1)

    return statistic


def _share(part: Values, rest: Values) -> Values:
    return part / np.maximum(part + rest, 1)  # weights are whole numbers: 0 stays 0


METRICS = ("precision", "recall", "F1", "mAP", "AUC")
DRAWS = 5
"""Draws of false pairs that are measured on."""
_ROWS = 4096


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pairs(Brief):
    """Metrics of pair classification, in percent, at a threshold that was chosen elsewhere.

    Attributes
    ----------
    metrics : mapping
        Name, one of ``METRICS``, → Estimate.
    threshold : float
        The score from which a pair counted as a match.
    threshold_from : str
        Where it comes from: ``"matcher"``, ``"dev"`` …
    """

    metrics: Mapping[str, Estimate]
    threshold: float
    threshold_from: str

    def to_dict(self) -> dict[str, object]:
        """Return ``{metric: {value, low, high}, "threshold": …, "threshold_from": …}``."""
        return {
            **{name: estimate.to_dict() for name, estimate in self.metrics.items()},
            "threshold": self.threshold,
            "threshold_from": self.threshold_from,
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LabelledPairs(Brief):
    """The pairs of the protocol.

    Attributes
    ----------
    images, texts : int64 (p,)
        Rows of each pair.
    labels : bool (p,)
        True for a match.
    draws : int64 (p,)
        Of which draw a false pair is, from 0; a true one, which all share, is of -1.
    """

    images: NDArray[np.int64]
    texts: NDArray[np.int64]
    labels: NDArray[np.bool_]
    draws: NDArray[np.int64]

    def rows(self) -> Iterator[NDArray[np.int64]]:
        """Yield the rows of each draw, half of them true."""
        for draw in range(int(self.draws.max()) + 1):
            yield np.flatnonzero(self.labels | (self.draws == draw))

    def of_images(self, images: NDArray[np.bool_]) -> tuple[LabelledPairs, NDArray[np.int64]]:
        """Return the pairs of some images, bool (n,), and their rows."""
        rows = np.flatnonzero(images[self.images])
        some = LabelledPairs(
            self.images[rows], self.texts[rows], self.labels[rows], self.draws[rows]
        )
        return some, rows


PairScores = Callable[[LabelledPairs], Values]
"""Gives a score of each pair, float64 (p,)."""


def draw_pairs(truth: Truth, *, seed: int) -> LabelledPairs:
    """Return every true pair of ``truth``, csr bool (n, m), and as many false ones, to fit on.

    An image's false texts differ from each other unless it has too few of them.

    Raises
    ------
    DataError
        If all texts are true for some image.
    """
    return _drawn(truth, [np.random.default_rng(seed)])


def pairs_to_measure(truth: Truth, *, seed: int) -> LabelledPairs:
    """Return every true pair and ``DRAWS`` times as many false ones, as ``draw_pairs`` draws them.

    No draw is one of ``draw_pairs``, whatever its seed.

    Raises
    ------
    DataError
        As there.
    """
    return _drawn(truth, [np.random.default_rng((seed, draw)) for draw in range(1, 1 + DRAWS)])


def _drawn(truth: Truth, generators: Sequence[np.random.Generator]) -> LabelledPairs:
    truth = check_truth(truth, truth.shape)
    spans = list(zip(truth.indptr[:-1], truth.indptr[1:], strict=True))
    false = [
        _false_texts(truth.indices[start:stop], truth.shape[1], rng)
        for rng in generators
        for start, stop in spans
    ]
    images = np.repeat(np.arange(truth.shape[0]), np.diff(truth.indptr))
    draws = np.repeat(np.arange(-1, len(generators)), truth.nnz)
    texts = np.concatenate([truth.indices, *false]).astype(np.int64)
    return LabelledPairs(np.tile(images, 1 + len(generators)), texts, draws < 0, draws)


def score_pairs(image_vectors: FloatArray, text_vectors: FloatArray, of: LabelledPairs) -> Values:
    """Return the inner product of each pair, float64 (p,).

    Raises
    ------
    DataError
        If one is NaN or infinite.
    """
    scores = np.empty(len(of.labels))
    for start in range(0, len(scores), _ROWS):
        rows = slice(start, start + _ROWS)
        scores[rows] = np.einsum(
            "pd,pd->p", image_vectors[of.images[rows]], text_vectors[of.texts[rows]]
        )
    check_scores(scores)
    return scores


def best_f1_threshold(scores: Values, labels: NDArray[np.bool_]) -> float:
    """Return the threshold with the greatest F1 for ``score >= threshold``.

    It lies half-way between two neighbouring scores; of several equally good ones
    the highest is taken. If calling everything a match is best, it is the lowest score.

    Raises
    ------
    DataError
        If no label is true.
    """
    if not labels.any():
        raise DataError("A threshold needs at least one matching pair; check the truth.")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    ends = np.flatnonzero(np.append(ranked[:-1] != ranked[1:], True))
    hits = np.cumsum(labels[order])[ends]
    best = int(np.argmax(2 * hits / (ends + 1 + labels.sum())))
    below = ends[min(best + 1, len(ends) - 1)]
    return float((ranked[ends[best]] + ranked[below]) / 2)


def fit_threshold(
    image_vectors: FloatArray, text_vectors: FloatArray, truth: Truth, *, seed: int
) -> float:
    """Return the best F1 threshold on the pairs of another split than the one to be reported.

    Raises
    ------
    DataError
        As ``pairs``.
    """
    check_truth(truth, (len(image_vectors), len(text_vectors)))
    drawn = draw_pairs(truth, seed=seed)
    return best_f1_threshold(score_pairs(image_vectors, text_vectors, drawn), drawn.labels)


def pairs(
    image_vectors: FloatArray,
    text_vectors: FloatArray,
    truth: Truth,
    *,
    threshold: float,
    threshold_from: str = "matcher",
    pair_scores: PairScores | None = None,
    seed: int,
    resamples: int = RESAMPLES,
) -> Pairs:
    """Measure pair classification with 95 % bootstrap intervals.

    Parameters
    ----------
    image_vectors, text_vectors : float32 (n, d), (m, d)
        Inner products are scores.
    truth : csr bool (n, m)
        Images without a text take no part.
    threshold : float
        From the matcher or from ``fit_threshold`` on dev, never from this split.
    pair_scores : callable or None
        Gives the scores that the threshold is for, where those are not the inner products.
    seed : int
        Seed of the false pairs and of the bootstrap.

    Raises
    ------
    DataError
        If shapes disagree, a score is not finite, all texts are true for some image, or
        all images hang together through shared texts.
    """
    truth = check_truth(truth, (len(image_vectors), len(text_vectors)))
    drawn = pairs_to_measure(truth, seed=seed)
    scores = pair_scores or partial(score_pairs, image_vectors, text_vectors)
    return measure_pairs(
        scores(drawn),
        drawn,
        truth,
        threshold=threshold,
        threshold_from=threshold_from,
        seed=seed,
        resamples=resamples,
    )


def measure_pairs(
    scores: Values,
    drawn: LabelledPairs,
    truth: Truth,
    *,
    threshold: float,
    threshold_from: str,
    seed: int,
    resamples: int = RESAMPLES,
) -> Pairs:
    """Measure scores that are known, as ``pairs`` does: float64 (p,) of the pairs ``drawn``."""
    # Numbered anew: components without a true pair have nothing to draw.
    _, groups = np.unique(components(truth).images[drawn.images], return_inverse=True)
    called = (scores >= threshold)[:, None]

    def of_draw(rows: NDArray[np.int64]) -> Statistic:
        decided = decision_statistic(called[rows], drawn.labels[rows], groups[rows])
        ranked = ranking_metrics(scores[rows], drawn.labels[rows], groups[rows])
        return lambda weights: 100 * np.concatenate([decided(weights), ranked(weights)], axis=1)

    statistic = over_draws([of_draw(rows) for rows in drawn.rows()])
    metrics = estimates(statistic, int(groups.max()) + 1, seed=seed, resamples=resamples)
    return Pairs(dict(zip(METRICS, metrics, strict=True)), float(threshold), threshold_from)


def _false_texts(
    true: NDArray[np.int32], texts: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    candidates = texts - len(true)
    if candidates == 0 and len(true):
        raise DataError(
            "All texts are true for one of the images, so it has no false pair; "
            "evaluate a split with more texts."
        )
    drawn = rng.choice(candidates, len(true), replace=len(true) > candidates)
    # The k-th text that is not true: step over the true ones before it (sorted in csr).
    before = np.searchsorted(true - np.arange(len(true)), drawn, side="right")
    return np.asarray(drawn + before, dtype=np.int64)


def decision_statistic(
    called: NDArray[np.bool_], labels: NDArray[np.bool_], groups: NDArray[np.int64]
) -> Statistic:
    """Return weights (r, groups) → precision, recall and F1, (r, 3), between 0 and 1.

    They are means over s runs; ``called`` is bool (p, s), what each calls a match.
    """
    true_pairs = labels[:, None]
    columns = (called & true_pairs, called, true_pairs)
    sums = [group_sums(column.astype(np.float64), groups) for column in columns]

    def statistic(weights: Values) -> Values:
        hits, positive, true = (weights @ column for column in sums)
        # Nothing called a match: precision is 0, as in scikit-learn with zero_division=0.
        metrics = (hits / np.maximum(positive, 1), hits / true, 2 * hits / (positive + true))
        return np.stack([metric.mean(axis=1) for metric in metrics], axis=1)

    return statistic
