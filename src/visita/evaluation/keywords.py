"""The protocol ``keywords``: one-word queries, the way people search a folder.

The words are nouns found in the captions themselves (``nouns.py``), and an image is
relevant to a word when at least two of its captions hold it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import average_precision_score

from visita.brief import Brief
from visita.errors import DataError
from visita.evaluation.blocks import Truth, blocks_with_truth, check_truth, dot_blocks
from visita.evaluation.intervals import RESAMPLES, Estimate, estimates
from visita.evaluation.nouns import find_nouns
from visita.types import FloatArray

METRICS = ("mAP", "P@10", "R-precision", "hit@1")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class KeywordQueries(Brief):
    """One-word queries and the images relevant to each.

    Attributes
    ----------
    nouns : tuple of str
        The words, in the singular, those with the most relevant images first.
    relevance : csr bool (words, images)
        Which images are relevant to which word.
    held : csr int64 (words, images)
        How many captions of which image have which word.
    """

    nouns: tuple[str, ...]
    relevance: Truth
    held: Truth


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Keywords(Brief):
    """Metrics of keyword search, means over words in percent."""

    metrics: Mapping[str, Estimate]
    words: int

    def to_dict(self) -> dict[str, object]:
        """Return ``{metric: {value, low, high}, "words": count}``."""
        return {
            **{name: one.to_dict() for name, one in self.metrics.items()},
            "words": self.words,
        }


def keyword_queries(
    texts: Sequence[str], truth: Truth, *, captions: int = 2, images: int = 5
) -> KeywordQueries:
    """Find the nouns of English captions and the images each is relevant to.

    A word counts for an image when at least ``captions`` of its texts hold it, and
    becomes a query when it counts for at least ``images`` images. ``truth`` is csr
    bool (n, m).

    Raises
    ------
    DataError
        If the texts do not fit the truth or give no query.
    """
    truth = check_truth(truth, (truth.shape[0], len(texts)))
    nouns, sentences = find_nouns(texts)
    held = sparse.csr_array((truth.astype(np.int64) @ _held(sentences, nouns)).T)
    relevance = held >= captions
    counts = relevance.sum(axis=1)
    rows = np.argsort(-counts, kind="stable")[: int((counts >= images).sum())]
    if not len(rows):
        raise DataError(
            f"No noun is in {captions} captions each of {images} images; "
            "keyword queries need more images or more English captions an image."
        )
    return KeywordQueries(tuple(nouns[row] for row in rows), relevance[rows], held[rows])


def keywords(
    image_vectors: FloatArray,
    query_vectors: FloatArray,
    relevance: Truth,
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Keywords:
    """Measure the ranking of images for each word; intervals are over resampled words.

    Average precision is scikit-learn's. P@10, R-precision (precision at as many
    results as there are relevant images) and hit@1 take the mean over the orders of
    equal scores.

    Parameters
    ----------
    image_vectors, query_vectors : float32 (n, d), (words, d)
    relevance : csr bool (words, n)
        At least one relevant image a word.
    seed : int
        Seed of the bootstrap.

    Raises
    ------
    DataError
        If shapes disagree, a word has no relevant image or a score is not finite.
    """
    values = []
    for _, scores, true in blocks_with_truth(dot_blocks(query_vectors, image_vectors), relevance):
        values += [_measure(row, held) for row, held in zip(scores, true.toarray(), strict=True)]
    table = 100 * np.array(values)
    found = estimates(
        lambda weights: weights @ table / weights.sum(axis=1, keepdims=True),
        len(table),
        seed=seed,
        resamples=resamples,
    )
    return Keywords(dict(zip(METRICS, found, strict=True)), len(table))


def precision_at(scores: FloatArray, relevant: NDArray[np.bool_], k: int) -> float:
    """Return the share of relevant items among the ``k`` best, mean over the orders of ties."""
    k = min(k, len(scores))
    last = np.partition(scores, len(scores) - k)[len(scores) - k]
    above, tied = scores > last, scores == last
    hits = relevant[above].sum() + (k - above.sum()) * relevant[tied].mean()
    return float(hits / k)


def _measure(scores: FloatArray, relevant: NDArray[np.bool_]) -> tuple[float, ...]:
    count = int(relevant.sum())
    if not count:
        raise DataError("A keyword has no relevant image; leave it out.")
    cutoffs = (10, count, 1)
    at = (precision_at(scores, relevant, k) for k in cutoffs)
    return float(average_precision_score(relevant, scores)), *at


def _held(sentences: Sequence[Sequence[str]], nouns: Sequence[str]) -> Truth:
    """Return which text holds which noun, csr int (m, nouns) of ones."""
    column = {noun: i for i, noun in enumerate(nouns)}
    found = [
        (text, column[word])
        for text, words in enumerate(sentences)
        for word in sorted(set(words))
        if word in column
    ]
    rows, columns = np.array(found, dtype=np.int64).reshape(-1, 2).T
    shape = (len(sentences), len(nouns))
    return sparse.csr_array((np.ones(len(found), np.int64), (rows, columns)), shape=shape)
