"""The best pictures for a query, over one or more galleries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from visita.errors import ConfigError
from visita.gallery.snapshot import Snapshot
from visita.types import FloatArray, Judge


@dataclass(frozen=True, slots=True)
class Match:
    """A picture that was found.

    Attributes
    ----------
    path : str
        Absolute.
    score : float
        Inner product of the query and the picture, -1 to 1; between two pictures it is
        their similarity.
    probability : float or None
        That the picture is what the text asks for, given how many were searched; None
        for a query by picture, and where the matcher was never calibrated.
    """

    path: str
    score: float
    probability: float | None


def search(
    snapshots: Sequence[Snapshot],
    query_vector: FloatArray,
    k: int,
    *,
    matcher: Judge,
    threshold: float | None = None,
    kind: Literal["text", "keywords", "picture"] = "text",
) -> list[Match]:
    """Return at most k matches, best first; of equal scores, the first path comes first.

    A file that is in several galleries, or is reached by links, is returned once.

    Parameters
    ----------
    query_vector : float32 (d,)
        Unit vector, as from ``Query.pooled``.
    threshold
        Leave out what is below: a probability for a text, a similarity for a picture.

    Raises
    ------
    ConfigError
        If k is below 1, or a threshold is given for a matcher without probabilities.
    DataError
        If the vector has another width than the galleries' or is not finite.
    """
    hits = [hit for snapshot in snapshots for hit in _best(snapshot, query_vector, k)]
    hits = _distinct(sorted(hits, key=lambda hit: (-hit[1], hit[0])))[:k]
    probabilities = None
    if kind != "picture":
        scores = np.array([score for _, score in hits], np.float32)
        probabilities = matcher.probability(
            scores, sum(map(len, snapshots)), keywords=kind == "keywords"
        )
        if probabilities is None and threshold is not None:
            raise ConfigError(
                f"The matcher {matcher.name!r} was never calibrated and knows no probability to "
                "cut off at: search without a threshold, or calibrate it."
            )
    measures = [score for _, score in hits] if probabilities is None else probabilities.tolist()
    return [
        Match(path, score, None if probabilities is None else measure)
        for (path, score), measure in zip(hits, measures, strict=True)
        if threshold is None or measure >= threshold
    ]


def _best(snapshot: Snapshot, vector: FloatArray, k: int) -> list[tuple[str, float]]:
    # More than k are asked for only where several paths lead to the same file.
    wanted = k
    while True:
        rows, scores = snapshot.index.search(vector[None], wanted)
        paths = [snapshot.paths[row] for row in rows[0]]
        hits = _distinct(list(zip(paths, scores[0].tolist(), strict=True)))
        if len(hits) >= k or wanted >= len(snapshot):
            return hits
        wanted *= 2


def _distinct(hits: list[tuple[str, float]]) -> list[tuple[str, float]]:
    first: dict[str, tuple[str, float]] = {}
    for path, score in hits:
        first.setdefault(os.path.realpath(path), (path, score))
    return list(first.values())
