"""The protocol ``keywords``: one-word queries, the way people search a folder.

The words are nouns found in English captions, without a tagger: in a caption a noun closes a
phrase. It mostly comes after a determiner or a modifier ("a dog", "a brown dog") and often before
a preposition, a form of *be* or *have*, *and* or the end ("dog in"); a modifier comes after a
determiner but seldom before such a word; a verb form seldom comes after either. The ratios are
taken from the captions at hand, plurals counted with their singular. "of" is left out of the
words that follow, which drops *group of*, *front of*, *top of*.

An image is relevant to a word when at least two of its captions hold it. For P(shows), which is
fitted here too, that leaves out much of what a picture shows: a noun that one caption of five has
is shown, and the others left it out. How many pictures show it and have it in no caption follows
from how many have it in just one and in two (Chao's estimator: A. Chao, Biometrics 1987; a lower
bound). The pictures with one stand in for those.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.brief import Brief
from visita.errors import DataError
from visita.evaluation.blocks import Truth, blocks_with_truth, check_scores, check_truth, dot_blocks
from visita.evaluation.calibrate import logistic
from visita.evaluation.intervals import Estimate, estimates
from visita.matchers.probability import KeywordCalibration, keyword_features
from visita.matchers.usual import Usual
from visita.types import FloatArray

# Ratios over the captions; chosen by reading the words they give on Flickr8k's dev split.
NOUN_OPENED, NOUN_CLOSED = 0.5, 0.4
MODIFIER_OPENED, MODIFIER_CLOSED = 0.3, 0.25
_END = "."
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*|[^\sa-z'-]+")
_PLURALS = {"men": "man", "women": "woman", "children": "child", "feet": "foot"}
_KEPT_PLURALS = frozenset({"shorts", "glasses", "woods"})  # not those of short, glass, wood


def _terms(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DETERMINERS = _terms(
    "a an the one two three four five six some several many another each both "
    "his her its their my your our"
)
_CLOSERS = _terms(
    "in on at with by near over through into under behind down up from to for across along "
    "around against off onto beside between above inside outside while as toward towards past "
    "during after before next among out away is are was were has have and or who that which " + _END
)

# Words about the picture or a place in it, not about what it shows, are no queries either.
_NO_QUERIES = (
    _DETERMINERS
    | _CLOSERS
    | _terms(
        "of other others something someone it them him background foreground picture photo "
        "photograph camera view air area side front back top middle bottom distance"
    )
)


def find_nouns(texts: Iterable[str]) -> tuple[list[str], list[list[str]]]:
    """Return the nouns of the texts, sorted, and each text's words, plurals folded."""
    sentences = [_words(text) for text in texts]
    fold = _folding(sentences)
    folded = [[fold.get(word, word) for word in words] for words in sentences]
    return sorted(_nouns(folded)), folded


def _words(text: str) -> list[str]:
    words = (part if part[0].isalpha() else _END for part in _WORD.findall(text.lower()))
    return [_END, *words, _END]


def _folding(sentences: Iterable[Sequence[str]]) -> dict[str, str]:
    """Map plurals to singulars that the texts hold too: dogs → dog, benches → bench."""
    vocabulary = {word for words in sentences for word in words} - _NO_QUERIES
    fold = dict(_PLURALS)
    for word in sorted(vocabulary - _KEPT_PLURALS):
        for ending, singular_ending in (("ies", "y"), ("s", ""), ("es", "")):
            singular = word.removesuffix(ending) + singular_ending
            if word.endswith(ending) and not word.endswith("ss") and singular in vocabulary:
                fold.setdefault(word, singular)
    return fold


def _nouns(sentences: Iterable[Sequence[str]]) -> set[str]:
    triples = Counter(
        (before, word, after)
        for words in sentences
        for before, word, after in zip(words, words[1:], words[2:], strict=False)
        if word not in _NO_QUERIES
    )
    opened = _ratios(triples, lambda before, _: before in _DETERMINERS)
    closed = _ratios(triples, lambda _, after: after in _CLOSERS)
    modifiers = {
        word
        for word in opened
        if opened[word] >= MODIFIER_OPENED and closed[word] <= MODIFIER_CLOSED
    }
    opened = _ratios(triples, lambda before, _: before in _DETERMINERS or before in modifiers)
    return {word for word in opened if opened[word] >= NOUN_OPENED and closed[word] >= NOUN_CLOSED}


def _ratios(
    triples: Mapping[tuple[str, str, str], int], holds: Callable[[str, str], bool]
) -> dict[str, float]:
    """Return, for each word, the share of its occurrences whose neighbours satisfy ``holds``."""
    total: Counter[str] = Counter()
    yes: Counter[str] = Counter()
    for (before, word, after), count in triples.items():
        total[word] += count
        yes[word] += count * holds(before, after)
    return {word: yes[word] / total[word] for word in total}


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
            **{name: estimate.to_dict() for name, estimate in self.metrics.items()},
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
    held = sparse.csr_array((truth.astype(np.int64) @ words_held(sentences, nouns)).T)
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
    image_vectors: FloatArray, query_vectors: FloatArray, relevance: Truth, *, seed: int
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
    metrics = estimates(
        lambda weights: weights @ table / weights.sum(axis=1, keepdims=True), len(table), seed=seed
    )
    return Keywords(dict(zip(METRICS, metrics, strict=True)), len(table))


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
    return average_precision(scores, relevant), *at


def average_precision(scores: FloatArray, relevant: NDArray[np.bool_]) -> float:
    """Return the mean over relevant images of the precision where each is found.

    Images of equal score are found at once. Scores (n,), relevant bool (n,), one at least.
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(ranked[1:] != ranked[:-1], True)  # of those of equal score
    found = np.cumsum(relevant[order])[last]
    precision = found / (np.flatnonzero(last) + 1)
    return float(precision @ np.diff(found, prepend=0) / found[-1])


def words_held(sentences: Sequence[Collection[str]], words: Sequence[str]) -> Truth:
    """Return which text, given by its words, holds which word: csr int64 (m, words) of ones."""
    column = {word: number for number, word in enumerate(words)}
    places = [
        (text, column[word])
        for text, own in enumerate(sentences)
        for word in sorted(set(own))
        if word in column
    ]
    rows, columns = np.array(places, dtype=np.int64).reshape(-1, 2).T
    shape = (len(sentences), len(words))
    return sparse.csr_array((np.ones(len(places), np.int64), (rows, columns)), shape=shape)


LEAST_WORDS = 20
PIVOT = 0.1
"""The probability that stays where it is when one half is put where it is asked for."""
BETWEEN = (0.2, 0.8)
SCORE, HEIGHT, SPREAD = range(3)
"""Columns of ``keyword_features``."""
Counts = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Words:
    """Nouns, and what is known of each and n pictures.

    Attributes
    ----------
    nouns : tuple of str
    scores : float32 (words, n)
    usual : Usual
        Of the nouns, (words, 1) each.
    held : int64 (words, n)
        How many of a picture's captions have a noun.
    named : bool
        Whether the scores are estimates of ``held``, by a ``WordMap``.
    """

    nouns: tuple[str, ...]
    scores: FloatArray
    usual: Usual
    held: Counts
    named: bool = False

    def part(self, nouns: NDArray[np.bool_], images: NDArray[np.bool_]) -> Words:
        """Return some of the nouns with some of the pictures."""
        place = np.ix_(nouns, images)
        usual = Usual(*(values[nouns] for values in self.usual))
        names = tuple(np.array(self.nouns)[nouns].tolist())
        return Words(names, self.scores[place], usual, self.held[place], self.named)


def fit_keyword_calibration(words: Words) -> KeywordCalibration:
    """Fit P(shows) by logistic regression, on a split that was not trained on.

    As much is unsaid, the log-odds are then turned about ``PIVOT`` so that at one half precision
    and recall meet: who asks for one half finds as large a part of what is shown as of what is
    found is right.

    Raises
    ------
    DataError
        If there are fewer than ``LEAST_WORDS`` words, or a score is not finite.
    """
    if len(words.nouns) < LEAST_WORDS:
        raise DataError(f"Single words are calibrated on {LEAST_WORDS} words or more.")
    check_scores(words.scores)
    features = keyword_features(words.scores, words.usual).reshape(3, -1).T
    labels, weights = (words.held > 0).ravel(), shown_weights(words.held).ravel()
    used = [SCORE, HEIGHT] if words.named else [HEIGHT]
    coefficients = _fitted(features, used, labels, weights)
    while falling := [column for column in used if coefficients[1 + column] < 0]:
        used.remove(falling[0])  # worse than chance: it tells nothing
        coefficients = _fitted(features, used, labels, weights)
    fitted = KeywordCalibration(*coefficients)
    even = _meeting(fitted.probability(words.scores, words.usual), words.held)
    slope = _odds(PIVOT) / (_odds(PIVOT) - _odds(even))
    numbers = coefficients * slope
    numbers[0] -= slope * _odds(even)
    return KeywordCalibration(*numbers.tolist())


def _fitted(
    features: NDArray[np.float64],
    used: Sequence[int],
    labels: NDArray[np.bool_],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return intercept and weights; that of a column which is not ``used`` is 0."""
    columns = [*used, SPREAD]
    intercept, *slopes = logistic(features[:, columns], labels, weights)
    coefficients = np.zeros(1 + features.shape[1])
    coefficients[0], coefficients[1 + np.array(columns)] = intercept, slopes
    return coefficients


def _meeting(said: FloatArray, held: Counts) -> float:
    """Return the probability, within ``BETWEEN``, from which precision and recall are equal.

    To be found is what two captions of a picture have, and right is what one has.
    """
    order = np.argsort(-said, axis=None, kind="stable")
    sure = (held >= min(2, held.max())).ravel()[order]
    right = (held > 0).ravel()[order]
    count = np.arange(1, len(order) + 1)
    place = np.abs(np.cumsum(sure) / sure.sum() - np.cumsum(right) / count).argmin()
    return float(np.clip(said.ravel()[order[place]], *BETWEEN))


def _odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def shown_weights(held: Counts) -> NDArray[np.float64]:
    """Return how much each word and picture counts, float64 (words, n).

    A picture with the word in one caption counts for those that show it unsaid, too, and a picture
    without the word as much less.
    """
    none, once, twice = ((held == times).sum(axis=1, keepdims=True) for times in (0, 1, 2))
    unsaid = np.minimum(once * (once - 1) / (2 * (twice + 1)), none / 2)
    of_once = 1 + unsaid / np.maximum(once, 1)
    of_none = 1 - unsaid / np.maximum(none, 1)
    return np.asarray(np.select([held == 0, held == 1], [of_none, of_once], 1.0), np.float64)
