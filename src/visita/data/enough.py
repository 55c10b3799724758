"""Whether pairs are enough for what is to be done with them, told before any picture is read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from visita.data.pairs import PairSet
from visita.errors import DataError

LEAST = 2
"""Images that share no text: an interval, or a probability, needs as many."""
HALVED = 2 * LEAST
"""Of a split of which each half is measured by what the other teaches."""


def check_enough(pairs: PairSet, least: Mapping[str, int], doing: str) -> None:
    """Refuse data with too few images that share no text.

    Parameters
    ----------
    least
        How many are needed, by split; ``all`` is the whole.
    doing
        What is to be done, to begin a sentence with.

    Raises
    ------
    DataError
        If there are fewer, or a split is empty.
    """
    for split in least:
        if pairs.splits().get(split) == 0:
            pairs.take(split)  # which says what there is instead
    found = {split: _apart(pairs, split) for split in least}
    if any(found[split] < count for split, count in least.items()):
        wanted = ", ".join(f"{split} {count}" for split, count in least.items())
        there = ", ".join(f"{split} {count}" for split, count in found.items())
        raise DataError(
            f"{doing} needs at least so many images with texts of their own: {wanted}; "
            f"{pairs.source} has {there}. Add pairs; splits that are drawn take 70 / 15 / 15 %."
        )


def _apart(pairs: PairSet, split: str) -> int:
    """Return how many images of a split have texts that no other image has."""
    labels, _ = pairs.components()
    texted = np.diff(pairs.truth.tocsr().indptr) > 0
    inside = texted if split == "all" else texted & (pairs.image_split == split)
    return len(np.unique(labels[inside]))
