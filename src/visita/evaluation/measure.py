"""Measuring a matcher on pairs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from visita.arguments import listed, one_of, whole
from visita.brief import counted
from visita.data import SPLITS, Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, VAL, check_enough
from visita.evaluation import PROTOCOLS, evaluate_vectors, recall_by_language
from visita.evaluation.intervals import components
from visita.evaluation.news import NEWSIMAGES, news
from visita.evaluation.rerank import RerankedPairs, fitted_threshold, ranks, vector_pair_scores
from visita.evaluation.retrieval import CUTOFFS
from visita.evaluation.unseen import overlap, without_seen
from visita.matchers import opened
from visita.store.extract import PairFeatures, pair_features
from visita.types import FloatArray, Matcher

TOPICS_FROM = "topics_from"
"""Fact of a matcher with a topic model: fitted on a "corpus", on texts of "train" or "all"."""
CAPTIONS = re.compile("coco|flickr|multi30k")
"""Data whose captions all-MiniLM-L6-v2 learnt from, as its card says."""


def evaluate(
    matcher: Matcher | str | Path,
    data: Data,
    *,
    split: str = "test",
    protocols: Sequence[str] = PROTOCOLS,
    folds: int = 1,
    seed: int = 0,
    features: str | Path | None = None,
) -> dict[str, Any]:
    """Return the numbers of a matcher on one split, each with a 95 % interval, as JSON values.

    Where the texts are in two languages or more, retrieval in one gallery comes with
    ``by_language``: how many texts each has, and the recall of pictures for them.

    ``split`` may be "all", and "val" is dev; ``warnings`` says what makes the numbers too
    optimistic. ``seen`` says from how many of the pictures the matcher learnt (``train``) and on
    how many others it was chosen (``dev``), None where that is not known; ``without_seen`` has
    the numbers of the rest, in the same gallery. The protocol ``newsimages``, MediaEval's numbers
    for articles, is measured where it is asked for. Of exact copies
    of a picture any will do, and equal scores count as the mean over their orders. With
    ``folds``, retrieval is the mean over that many galleries: 5 on the test split of
    ``karpathy-with-restval:dataset_coco.json`` is COCO's 1K protocol, 1 its 5K. The
    ``pairs`` protocol uses the matcher's own threshold; for a matcher without one it is
    fitted on the data's dev split, and ``threshold_from`` says so.

    Raises
    ------
    DataError
        If the split is empty, or a fold.
    ConfigError
        If ``folds`` is not positive, or is given without ``retrieval``.
    UnknownNameError
        If the matcher, the split or a protocol is unknown.

    Examples
    --------
    >>> report = visita.evaluate("visita-small", "folder:mypairs", split="test")
    >>> recall = report["protocols"]["retrieval"]["text_to_image"]["R@5"]
    >>> recall["low"] <= recall["value"] <= recall["high"]
    True
    """
    matcher = opened(matcher)
    split = "dev" if split == VAL else one_of(split, "split", (*SPLITS, "all"))
    protocols = listed(protocols, str, "Protocols are a list of str")
    whole(folds, "folds", 1)
    pairs = open_pairs(data, seed=seed)
    check_enough(pairs, {split: LEAST}, "Measuring")
    chosen = interchangeable(pairs if split == "all" else pairs.take(split))
    measured = features_for(matcher, chosen, features)
    threshold, source = matcher.threshold, "matcher"
    if threshold is None and "pairs" in protocols:
        dev = features_for(matcher, pairs.take("dev"), features)
        threshold = fitted_threshold(matcher, dev, seed)
        source = "dev"
    scored = RerankedPairs(matcher, measured) if matcher.reranker else None
    usual = [name for name in protocols if name != NEWSIMAGES]
    if scored:
        numbers = scored.report(usual, threshold, source, seed, folds)
    else:
        embedded = vectors(matcher, measured)
        numbers = evaluate_vectors(
            *embedded,
            measured.pairs.truth.tocsr(),
            protocols=usual,
            folds=folds,
            threshold=threshold,
            threshold_from=source,
            pair_scores=partial(vector_pair_scores, matcher, embedded, measured.pairs.texts),
            seed=seed,
        )
    if NEWSIMAGES in protocols:
        _, of_texts = scored.ranks() if scored else ranks(matcher, measured)
        groups = components(measured.pairs.truth)
        numbers["protocols"][NEWSIMAGES] = news(of_texts, groups, seed=seed)
    one_gallery = "retrieval" in protocols and folds == 1
    by_language = _by_language(matcher, measured, scored, seed) if one_gallery else {}
    seen = overlap(matcher, measured.pairs)
    counts = None if seen is None else seen.to_dict()
    rest = without_seen(
        *(matcher, measured, seen, protocols, threshold, source),
        folds=folds,
        seed=seed,
        scored=scored,
    )
    return {
        "matcher": {"name": matcher.name, "fingerprint": matcher.fingerprint()},
        "data": {"source": pairs.source, "fingerprint": pairs.fingerprint()},
        "split": split,
        "warnings": [
            *caveats(matcher),
            *caveats_on_seen(matcher.name, counts),
            *caveats_on_texts(matcher, pairs),
        ],
        "seen": counts,
        **numbers,
        **by_language,
        **rest,
    }


def _by_language(
    matcher: Matcher, measured: PairFeatures, scored: RerankedPairs | None, seed: int
) -> dict[str, Any]:
    languages = measured.pairs.text_languages
    if len({*languages} - {""}) < 2:
        return {}
    _, ranked = scored.ranks() if scored else ranks(matcher, measured)
    _, groups = measured.pairs.components()
    bins = recall_by_language(ranked, languages, groups, seed=seed)
    by_language = {
        code: {
            "texts": language.texts,
            "text_to_image": {
                f"R@{k}": value.to_dict() for k, value in zip(CUTOFFS, language.recall, strict=True)
            },
        }
        for code, language in bins.items()
    }
    return {"by_language": by_language}


def caveats(matcher: Matcher) -> list[str]:
    """Return a sentence for each thing that makes the numbers of a matcher too good."""
    if matcher.facts.get(TOPICS_FROM) != "all":
        return []
    return [
        "The topic model was fitted on all texts of its data, dev and test included, as the "
        "fusion paper does on Flickr30K: numbers on that data are too optimistic."
    ]


def caveats_on_texts(matcher: Matcher, pairs: PairSet) -> list[str]:
    """Return what is to be said of captions that a matcher's text encoder learnt from itself."""
    if "minilm" not in matcher.text_encoder.lower() or not CAPTIONS.search(pairs.source.lower()):
        return []
    return [
        f"{matcher.name} reads texts by MiniLM, which learnt, without pictures, from sentences "
        "among which are COCO's and Flickr30k's captions: it may have read the captions of any "
        "picture of COCO, Flickr30k or Flickr8k."
    ]


def caveats_on_seen(name: str, seen: Mapping[str, int] | None) -> list[str]:
    """Return what is to be said of pictures that a matcher saw before it is measured on them.

    ``seen`` is what ``Overlap.to_dict`` gives, or None.
    """
    if seen is None or not (seen["train"] or seen["dev"]):
        return []
    learnt, chosen, of = (seen[key] for key in ("train", "dev", "of"))
    parts = [(learnt, "learnt from"), (chosen, "was chosen and calibrated on")]
    saw = " and ".join(f"{how} {count:,}" for count, how in parts if count)
    return [
        f"{name} {saw} of these {counted(of, 'picture')}: numbers that include them are too "
        "optimistic."
    ]


def features_for(matcher: Matcher, pairs: PairSet, folder: str | Path | None) -> PairFeatures:
    """Return the features of ``pairs`` that ``matcher`` reads, computing what is not stored."""
    return pair_features(pairs, matcher.recipe, matcher.open_text_encoder(), folder)


def vectors(matcher: Matcher, features: PairFeatures) -> tuple[FloatArray, FloatArray]:
    """Return vectors of the images, float32 (n, dim), and of the texts, (m, dim)."""
    return matcher.embed_images(features.columns), matcher.embed_texts(features.texts)
