"""How many images published splits have, so that another split is not mistaken for one."""

from __future__ import annotations

from dataclasses import replace

from visita.data.pairs import PairSet
from visita.progress import say
from visita.types import Skipped

Sizes = tuple[int, int, int]
"""Images in train, dev and test."""

KARPATHY: dict[str, Sizes] = {
    "flickr8k": (6_000, 1_000, 1_000),
    "flickr30k": (29_000, 1_014, 1_000),
    "coco": (82_783, 5_000, 5_000),
}
KARPATHY_COCO_WITH_RESTVAL: Sizes = (113_287, 5_000, 5_000)
M_RNN: Sizes = (29_783, 1_000, 1_000)


def compare_sizes(pairs: PairSet, published: Sizes) -> PairSet:
    """Return ``pairs``; where its splits have other sizes, that is said and added as a problem."""
    found = tuple(pairs.splits().values())
    if found == published:
        return pairs
    reason = f"has {_listed(found)} images, the published split {_listed(published)}"
    say(f"{pairs.source} {reason}: numbers on it are not comparable")
    return replace(pairs, problems=(*pairs.problems, Skipped("splits", reason)))


def _listed(sizes: tuple[int, ...]) -> str:
    return " / ".join(f"{size:,}" for size in sizes)
