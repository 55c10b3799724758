"""The best and worst answers of a reproduction of the multi-level fusion paper, as pictures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from visita.experiments.fusion import FOUND, Outcomes
from visita.experiments.fusion_bench import WHOLE, Bench
from visita.experiments.fusion_claims import DIRECT_FUSED, RECOMMEND_FC
from visita.experiments.report import Example, Examples, Picture

SHOWN = 4
"""Examples of each kind."""


def examples(bench: Bench, outcomes: Outcomes) -> Iterator[Examples]:
    """Yield the best and the worst answers of direct matching, if it was measured."""
    try:
        ranks = np.mean(outcomes.arrays(DIRECT_FUSED, WHOLE), axis=0)
        before = outcomes.arrays(RECOMMEND_FC, WHOLE)[0]
        found = outcomes.arrays(DIRECT_FUSED, "found")[0]
    except KeyError:
        return
    framed = (
        "A green frame marks the right picture; where it is not among the first "
        f"{FOUND}, it comes last. Direct matching with fused features, pictures of the first seed."
    )
    for title, note, order in (
        (
            "Best answers",
            "Of the texts with the best rank, those that recommendation with fc ranks lowest.",
            np.lexsort((-before, ranks)),
        ),
        (
            "Worst answers",
            "The texts whose picture has the lowest rank.",
            np.lexsort((before, -ranks)),
        ),
    ):
        rows = _of_different_pictures(order, bench)
        shown = tuple(_example(row, bench, ranks[row], before[row], found[row]) for row in rows)
        yield Examples(title, f"{note} {framed}", shown)


def _of_different_pictures(order: NDArray[np.int64], bench: Bench) -> list[int]:
    """Return the first texts of ``order``, one of each group."""
    groups = bench.galleries[WHOLE].groups[order]
    _, first = np.unique(groups, return_index=True)
    return [int(row) for row in order[np.sort(first)][:SHOWN]]


def _example(
    row: int, bench: Bench, rank: float, before: float, found: NDArray[np.int64]
) -> Example:
    whole, pairs = bench.galleries[WHOLE], bench.pairs.take("test")
    text = int(whole.texts[row])
    right = whole.truth[[row]].indices.tolist()
    shown = [*map(int, found)] if set(right) & set(found.tolist()) else [*map(int, found), right[0]]
    siblings = np.flatnonzero(pairs.truth[[right[0]]].toarray()[0])
    number = 1 + siblings.tolist().index(text)
    return Example(
        f"{pairs.image_ids[right[0]]}, text {number}",
        pairs.texts[text],
        f"Mean rank {rank:,.1f} of {len(whole.images):,}; recommendation with fc: {before:,.1f}.",
        tuple(Picture(pairs.image_ids[i], pairs.image_paths[i], i in right) for i in shown),
    )
