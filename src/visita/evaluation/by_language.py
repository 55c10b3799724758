"""Recall of texts by the language that they are in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visita.errors import DataError
from visita.evaluation.intervals import RESAMPLES, Values
from visita.evaluation.long_tail import Bin


def recall_by_language(
    ranks: Values,
    languages: Sequence[str],
    groups: NDArray[np.int64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> dict[str, Bin]:
    """Return the languages that texts of two groups or more are in, by alphabet.

    Parameters
    ----------
    ranks : float64 (m,)
        Rank of each text's best image, in the whole gallery.
    languages : m
        A code each; texts whose language is ``""``, not known, are left out.
    groups : int64 (m,)
        Texts of one group are drawn together in the bootstrap.

    Raises
    ------
    DataError
        If the three do not have the same length.
    """
    if not len(ranks) == len(languages) == len(groups):
        raise DataError(
            f"{len(ranks)} ranks, {len(languages)} languages and {len(groups)} groups do not "
            "belong to the same texts; measure all on one split."
        )
    codes, found = np.array(languages, np.str_), {}
    for code in sorted(set(languages) - {""}):
        rows = codes == code
        if len(set(groups[rows].tolist())) > 1:
            found[code] = Bin.of(ranks[rows], groups[rows], seed=seed, resamples=resamples)
    return found
