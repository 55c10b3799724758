"""Recall of texts by the language that they are in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visita.evaluation.intervals import RESAMPLES
from visita.evaluation.long_tail import Bin, check_lengths, recall_in_bins
from visita.evaluation.ranks import Ranks


def recall_by_language(
    ranks: Ranks,
    languages: Sequence[str],
    groups: NDArray[np.int64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
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
    check_lengths(ranks, groups, "languages", len(languages))
    codes = np.array(languages, np.str_)
    named = {code: codes == code for code in sorted(set(languages) - {""})}
    return recall_in_bins(ranks, named, groups, seed=seed, resamples=resamples)
