"""The best and worst answers of a system to texts, with their pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visita.data.pairs import PairSet
from visita.report import Example, Examples, Picture

FOUND = 4
"""Pictures kept of each answer."""
SHOWN = 4
"""Examples of each kind."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a system and a simpler one answer to the m texts of some pairs.

    Attributes
    ----------
    pairs : PairSet
    groups : int64 (m,)
        Texts of one group share a picture; one of them is shown.
    system, baseline : str
        What a sentence calls the two.
    ranks, before : float64 (m,)
        Rank of each text's best picture by the two, seeds averaged.
    found : int64 (m, FOUND)
        The first pictures by the system, in the first seed.
    """

    pairs: PairSet
    groups: NDArray[np.int64]
    system: str
    baseline: str
    ranks: NDArray[np.float64]
    before: NDArray[np.float64]
    found: NDArray[np.int64]


def best_and_worst(answers: Answers) -> Iterator[Examples]:
    """Yield the best and the worst answers, ids beside pictures."""
    ranks, before = answers.ranks, answers.before
    framed = (
        "A green frame marks the right picture; where it is not among the first "
        f"{FOUND}, it comes last. {answers.system}, pictures of the first seed."
    )
    for title, note, order in (
        (
            "Best answers",
            f"Of the texts with the best rank, those that {answers.baseline} ranks lowest.",
            np.lexsort((-before, ranks)),
        ),
        (
            "Worst answers",
            "The texts whose picture has the lowest rank.",
            np.lexsort((before, -ranks)),
        ),
    ):
        shown = tuple(_example(row, answers) for row in _of_different_pictures(order, answers))
        yield Examples(title, f"{note} {framed}", shown)


def _of_different_pictures(order: NDArray[np.int64], answers: Answers) -> list[int]:
    """Return the first texts of ``order``, one of each group."""
    _, first = np.unique(answers.groups[order], return_index=True)
    return [int(row) for row in order[np.sort(first)][:SHOWN]]


def _example(text: int, answers: Answers) -> Example:
    pairs, found = answers.pairs, answers.found[text].tolist()
    right = np.flatnonzero(pairs.truth[:, [text]].toarray()[:, 0]).tolist()
    shown = found if set(right) & set(found) else [*found, right[0]]
    siblings = np.flatnonzero(pairs.truth[[right[0]]].toarray()[0])
    number = 1 + siblings.tolist().index(text)
    return Example(
        f"{pairs.image_ids[right[0]]}, text {number}",
        pairs.texts[text],
        f"Mean rank {answers.ranks[text]:,.1f} of {len(pairs.image_ids):,}; "
        f"{answers.baseline}: {answers.before[text]:,.1f}.",
        tuple(Picture(pairs.image_ids[i], pairs.image_paths[i], i in right) for i in shown),
    )
