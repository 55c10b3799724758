"""The best pictures for a query, over one or more galleries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from visita.arguments import number, whole
from visita.errors import ConfigError
from visita.gallery.snapshot import Snapshot
from visita.search.hits import nearest
from visita.search.matches import Match, Matches
from visita.search.rescoring import Rescoring
from visita.types import FloatArray, Judge


def search(
    snapshots: Sequence[Snapshot],
    query_vector: FloatArray,
    k: int,
    *,
    matcher: Judge,
    threshold: float | None = None,
    kind: Literal["text", "keywords", "picture"] = "text",
    closer: Rescoring | None = None,
) -> Matches[Match]:
    """Return at most k matches, best first; of equal scores, the first path comes first.

    A file that is in several galleries, or is reached by links, is returned once.

    Parameters
    ----------
    query_vector : float32 (d,)
        At most 1 long, as from ``Query.pooled``; of a picture, 1.
    threshold
        Leave out what is below: a probability for a text, a similarity for a picture.
    closer
        The second stage, which puts the best by the vector in a new order; see ``reordered``. For
        keywords, which many pictures may match, it looks at all k.

    Raises
    ------
    ConfigError
        If k is below 1, the threshold no number from -1 to 1, or there is one for a matcher
        without probabilities.
    DataError
        If the vector has another width than the galleries' or is not finite.
    """
    check_asked(k, threshold)
    if closer is None:
        hits = nearest(snapshots, query_vector, k, by_direction=kind == "picture")
    else:
        depth = max(k, closer.depth) if kind == "keywords" else closer.depth
        hits = closer.reordered(nearest(snapshots, query_vector, max(k, depth)), depth)[:k]
    probabilities = None
    if kind != "picture":
        scores = np.array([hit.score for hit in hits], np.float32)
        probabilities = matcher.probability(
            scores,
            sum(map(len, snapshots)),
            keywords=query_vector if kind == "keywords" else None,
        )
        if probabilities is None and threshold is not None:
            raise never_calibrated(matcher)
    measures = [hit.score for hit in hits] if probabilities is None else probabilities.tolist()
    return Matches(
        Match(Path(hit.path), hit.score, None if probabilities is None else measure)
        for hit, measure in zip(hits, measures, strict=True)
        if threshold is None or measure >= threshold
    )


def check_asked(k: int, threshold: float | None) -> None:
    """Refuse to search for fewer than one match, or down to what is no number from -1 to 1.

    Raises
    ------
    ConfigError
        If either is out of range.
    """
    whole(k, "k", 1)
    if threshold is not None:
        number(threshold, "threshold", -1, 1)


def never_calibrated(matcher: Judge) -> ConfigError:
    """Return the error of a threshold for a matcher without probabilities."""
    return ConfigError(
        f"The matcher {matcher.name!r} was never calibrated and knows no probability to "
        "cut off at: search without a threshold, or calibrate it."
    )
