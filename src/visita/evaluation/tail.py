"""Recall of texts by their language, and by how often learning met their rarest word.

A word is what the topic models count, in any language; English words without a meaning of their
own (scikit-learn's list) are left out, and plurals are words of their own. The texts of the
first bin hold a word that learning never met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visita.encoders.topics.corpus import words
from visita.errors import DataError
from visita.evaluation.intervals import RESAMPLES, Estimate, Values, estimates, mean_statistic
from visita.evaluation.ranks import Ranks, hits
from visita.evaluation.retrieval import CUTOFFS

FREQUENCIES = {"none": 0, "1–2": 2, "3–10": 10, "11–100": 100, "over 100": np.inf}
"""Each bin's greatest frequency."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Texts of one bin: how many, and their recall in percent at each of ``CUTOFFS``."""

    texts: int
    recall: tuple[Estimate, ...]


def recall_by_language(
    ranks: Ranks, languages: Sequence[str], groups: NDArray[np.int64], *, seed: int
) -> dict[str, Bin]:
    """Return the languages that texts of two groups or more are in, by alphabet.

    Parameters
    ----------
    ranks : int64 (m, 3)
        ``Ranks`` of each text's best image, in the whole gallery.
    languages : m
        A code each; texts whose language is ``""``, not known, are left out.
    groups : int64 (m,)
        Texts of one group are drawn together in the bootstrap.

    Raises
    ------
    DataError
        If the three do not have the same length.
    """
    _check_lengths(ranks, groups, "languages", len(languages))
    codes = np.array(languages, np.str_)
    bins = {code: codes == code for code in sorted(set(languages) - {""})}
    return _recall_in_bins(ranks, bins, groups, seed=seed, resamples=RESAMPLES)


def rarest_words(texts: Sequence[str], learnt: Sequence[str]) -> Values:
    """Return how many of the ``learnt`` texts hold the rarest word of each text, float64 (m,).

    A text without a word of its own has infinity, as nothing in it is rare.

    Raises
    ------
    MissingExtraError
        If a text is Chinese and jieba is not installed.
    """
    counts = Counter(word for text in learnt for word in _content(text))
    rarest = [min((counts[word] for word in _content(text)), default=np.inf) for text in texts]
    return np.array(rarest, np.float64)


def recall_by_frequency(
    ranks: Ranks,
    frequencies: Values,
    groups: NDArray[np.int64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Bin]:
    """Return the bins of ``FREQUENCIES`` that hold texts of two groups or more.

    ``frequencies``, float64 (m,), are as ``rarest_words`` gives; the rest is as for
    ``recall_by_language``.
    """
    _check_lengths(ranks, groups, "frequencies", len(frequencies))
    places = np.searchsorted(list(FREQUENCIES.values()), frequencies)
    bins = {name: places == place for place, name in enumerate(FREQUENCIES)}
    return _recall_in_bins(ranks, bins, groups, seed=seed, resamples=resamples)


def _check_lengths(ranks: Ranks, groups: NDArray[np.int64], name: str, count: int) -> None:
    if not len(ranks) == count == len(groups):
        raise DataError(
            f"{len(ranks)} ranks, {count} {name} and {len(groups)} groups do not "
            "belong to the same texts; measure all on one split."
        )


def _recall_in_bins(
    ranks: Ranks,
    rows_by_name: Mapping[str, NDArray[np.bool_]],
    groups: NDArray[np.int64],
    *,
    seed: int,
    resamples: int,
) -> dict[str, Bin]:
    """Return the bins that hold texts of two groups or more; ``named`` are their rows, (m,)."""
    bins = {}
    for name, rows in rows_by_name.items():
        components, owners = np.unique(groups[rows], return_inverse=True)
        if len(components) > 1:
            mean = mean_statistic(100 * hits(ranks[rows], CUTOFFS), owners)
            recall = estimates(mean, len(components), seed=seed, resamples=resamples)
            bins[name] = Bin(int(rows.sum()), tuple(recall))
    return bins


def _content(text: str) -> set[str]:
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS  # noqa: PLC0415 - an extra

    return set(words(text)).difference(ENGLISH_STOP_WORDS)
