"""The numbers of a matcher on pictures that it never saw, among the same gallery.

Pictures that it saw stay in the gallery, so that it is no easier than before; they and their texts
ask for nothing, and no pair of theirs is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.data.identity import identities
from visita.data.pairs import LEAST, PairSet
from visita.data.seen import Overlap
from visita.evaluation.intervals import Groups, components
from visita.evaluation.news import NEWSIMAGES, news
from visita.evaluation.pairs import measure_pairs, pairs_to_measure
from visita.evaluation.rerank import RerankedPairs, pair_scores, ranks
from visita.evaluation.retrieval import measure_ranks
from visita.store.extract import PairFeatures
from visita.types import Matcher


def overlap(matcher: Matcher, pairs: PairSet) -> Overlap | None:
    """Return which pictures of ``pairs`` a matcher saw; None where that is not known."""
    seen = matcher.seen
    return None if seen is None else seen.among(identities(pairs.image_paths))


def kept(
    groups: Groups, images: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Groups]:
    """Return which images and texts are left, bool (n,) and (m,), and the groups of these.

    A group stays where all of its images are among ``images``, bool (n,).
    """
    whole = np.bincount(groups.images, ~images, groups.count) == 0
    whole &= np.bincount(groups.images, minlength=groups.count) > 0
    left = whole[groups.images], whole[groups.texts]
    names = np.cumsum(whole) - 1
    owners = names[groups.images[left[0]]], names[groups.texts[left[1]]]
    return *left, Groups(*owners, int(whole.sum()))


def without_seen(
    matcher: Matcher,
    features: PairFeatures,
    seen: Overlap | None,
    protocols: Sequence[str],
    threshold: float | None,
    source: str,
    *,
    folds: int = 1,
    seed: int,
    scored: RerankedPairs | None = None,
) -> dict[str, Any]:
    """Return ``without_seen``: the protocols of what was not seen, as ``evaluate`` has them.

    Nothing where it saw none of the pictures, or all but so few that there is no interval.
    ``scored`` are the pairs by both stages, where there are two.
    """
    if seen is None or not seen.any.any():
        return {}
    truth = features.pairs.truth.tocsr()
    images, texts, groups = kept(components(truth), ~seen.any)
    if groups.count < LEAST:
        return {}
    results: dict[str, Any] = {}
    if {"retrieval", NEWSIMAGES} & {*protocols}:
        at_hand = scored.ranks() if scored and folds == 1 else None
        found = at_hand or ranks(matcher, features, folds)
        of_images, of_texts = found[0][images], found[1][texts]
    if "retrieval" in protocols:
        measured = measure_ranks(of_images[None], of_texts[None], groups, seed=seed)
        results["retrieval"] = measured.to_dict()
    if NEWSIMAGES in protocols:
        results[NEWSIMAGES] = news(of_texts, groups, seed=seed)
    if "pairs" in protocols:
        assert threshold is not None  # the caller has one
        drawn, _ = pairs_to_measure(truth, seed=seed).of_images(images)
        scores = scored.match_scores(drawn) if scored else pair_scores(matcher, features, drawn)
        results["pairs"] = measure_pairs(
            scores, drawn, truth, threshold=threshold, threshold_from=source, seed=seed
        ).to_dict()
    counts = {"images": int(images.sum()), "texts": int(texts.sum())}
    return {"without_seen": {"protocols": results, **counts}}
