"""What every new matcher is given in the end: threshold and probabilities, and how it was made."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from visita.data import PairSet
from visita.encoders.efficientnet import class_names
from visita.errors import DataError
from visita.evaluation import (
    LEAST_WORDS,
    Words,
    evaluate_vectors,
    fit_calibration,
    fit_keyword_calibration,
    fit_match_probability,
    fit_search_calibration,
    keyword_queries,
)
from visita.evaluation.calibrate import VectorStage
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.pairs import LabelledPairs, draw_pairs
from visita.evaluation.rerank import vector_pair_scores
from visita.matchers.pair_probability import EVEN
from visita.matchers.probability import Calibrated, KeywordCalibration
from visita.matchers.usual import Usual, usual_scores
from visita.matchers.words import WordMap
from visita.store.extract import PairFeatures
from visita.training.tuning import Vectors
from visita.training.words import fit_word_map, named_things
from visita.types import FloatArray, Matcher
from visita.vectors import unit

BACKGROUND = 200
"""Pictures that stand for any, or somewhat more, where a matcher has none."""
EVERY = 4
"""Of the 1,000 names of ImageNet's classes every fourth stands for any text."""
LEAST_IMAGES = (5, 2)
"""Pictures of dev that a noun needs to be calibrated on; the second where that leaves too few."""
M = TypeVar("M", bound=Matcher)


def calibrated(
    matcher: M, dev: PairFeatures, embedded: Vectors, seed: int, facts: Mapping[str, Any]
) -> tuple[M, dict[str, Any]]:
    """Return the matcher with ``calibrate`` and ``facts``, and what ``evaluate`` says of dev.

    ``embedded`` are its vectors of ``dev``.
    """
    fields = {"facts": facts, **calibrate(matcher, dev.pairs, embedded, seed)}
    matcher = replace(cast(Any, matcher), **fields)
    scores = partial(vector_pair_scores, matcher, embedded, dev.pairs.texts)
    truth, threshold = dev.pairs.truth.tocsr(), matcher.threshold
    report = evaluate_vectors(*embedded, truth, threshold=threshold, pair_scores=scores, seed=seed)
    return matcher, report


def calibrate(matcher: Matcher, dev: PairSet, embedded: Vectors, seed: int) -> dict[str, Any]:
    """Return the fields that say how probable a match is, and the threshold, fitted on dev.

    ``embedded`` are the matcher's vectors of ``dev``.
    """
    texts = any_texts_of(matcher)
    features = partial(features_of_pairs, embedded, dev.texts, others=texts)
    return {
        **calibrate_searches(matcher, dev, embedded, seed),
        **calibrate_pairs(dev, features, seed),
        "any_texts": texts,
    }


def any_texts_of(matcher: Matcher) -> NDArray[np.float16]:
    """Return the directions of texts that stand for any: names of things, float16 (t, dim)."""
    texts = class_names()[::EVERY]
    vectors = matcher.embed_texts(matcher.open_text_encoder().encode(texts))
    return unit(vectors).astype(np.float16)


def calibrate_searches(
    matcher: Matcher,
    dev: PairSet,
    embedded: Vectors,
    seed: int,
    *,
    vectors: Vectors | None = None,
    words: Callable[[Sequence[str]], Vectors] | None = None,
) -> dict[str, Any]:
    """Return the fields that say how probable the results of searches are, fitted on dev.

    ``embedded`` are the matcher's vectors of ``dev``, or others whose inner products are its
    scores: then ``vectors`` are those that it embeds, and ``words`` gives such for other texts.
    """
    images, texts = vectors or embedded
    truth, known = dev.truth.tocsr(), matcher.background
    fields: dict[str, Any] = {
        "calibration": fit_calibration(*embedded, truth, seed=seed),
        "keyword_calibration": _keyword_calibration(matcher, dev, images, words),
    }
    if known is not None:
        stage = VectorStage(images, texts, known)
        fields["search_calibration"] = fit_search_calibration(embedded, truth, stage, seed=seed)
    return fields


def calibrate_pairs(
    dev: PairSet, features: Callable[[LabelledPairs], NDArray[np.float64]], seed: int
) -> dict[str, Any]:
    """Return the fields match_probability and threshold, fitted on dev.

    ``features`` gives the ``match_features`` of pairs.
    """
    drawn = draw_pairs(dev.truth.tocsr(), seed=seed)
    probability = fit_match_probability(features(drawn), drawn.labels)
    return {"match_probability": probability, "threshold": EVEN}


def provenance(pairs: PairSet) -> dict[str, Any]:
    """Return the facts of any matcher made from ``pairs``: the data, and what ran."""
    return {
        "data": {"source": pairs.source.partition(":")[0], "fingerprint": pairs.fingerprint()},
        "images": pairs.splits(),
        "versions": {p: version(p) for p in ("visita", "torch", "numpy", "openvino")},
        "python": platform.python_version(),
    }


def caveats_on_words(matcher: Calibrated) -> list[str]:
    """Return a sentence where single words could not be calibrated on dev."""
    if matcher.keyword_calibration is not None:
        return []
    source = "as for visita-small" if matcher.background is not None else "as for sentences"
    return [
        f"Dev has fewer than {LEAST_WORDS} nouns that the captions of {LEAST_IMAGES[-1]} pictures "
        f"hold: the probability of one to three words is taken {source}."
    ]


def words_on(
    matcher: Matcher,
    pairs: PairSet,
    images: FloatArray,
    embed: Callable[[Sequence[str]], Vectors] | None = None,
    *,
    least: int = 5,
) -> Words:
    """Return the nouns that two captions each of ``least`` images hold, and what is known of them.

    One caption is enough where most images have no more.

    ``images`` are the matcher's vectors of the images of ``pairs``; ``embed`` gives vectors of
    them and of texts whose inner products are scores, where they are not the matcher's.

    Raises
    ------
    DataError
        If there is no such noun.
    """
    truth = pairs.truth.tocsr()
    captions = min(2, max(1, int(np.median(truth.sum(axis=1)))))
    queries = keyword_queries(pairs.texts, truth, captions=captions, images=least)
    texts = matcher.embed_texts(matcher.open_text_encoder().encode(queries.nouns))
    if matcher.words is not None:
        texts = matcher.words(texts)
    typical = usual_scores(matcher.background, texts)
    usual = (np.broadcast_to(column, len(texts))[:, None] for column in typical)
    if embed and matcher.words is None:
        images, texts = embed(queries.nouns)
    scores = np.asarray(texts @ images.T, np.float32)
    named = matcher.words is not None
    return Words(queries.nouns, scores, Usual(*usual), queries.held.toarray(), named)


def learn_words(
    matcher: Matcher, pairs: PairSet, images: FloatArray, base: object = None
) -> WordMap | None:
    """Return what finds the pictures of single words, learnt from the captions of train.

    ``images`` are the matcher's vectors of those of ``pairs``. It goes out from the ``WordMap``
    of a base, if that is of this width, and is that where the captions name too few things.
    """
    base_map = base if isinstance(base, WordMap) and len(base.matrix) == matcher.dim else None
    names, held = named_things(pairs)
    if len(names) < LEAST_WORDS:
        return base_map
    prior = None if base_map is None else base_map.matrix.astype(np.float32)
    texts = matcher.embed_texts(matcher.open_text_encoder().encode(names))
    sample = images[:: max(1, len(images) // BACKGROUND)].astype(np.float16)
    background = sample if matcher.background is None else None
    return WordMap(fit_word_map(images, texts, held, prior), background)


def _keyword_calibration(
    matcher: Matcher,
    dev: PairSet,
    images: FloatArray,
    embed: Callable[[Sequence[str]], Vectors] | None,
) -> KeywordCalibration | None:
    """Fit the probability of keywords on the nouns of dev's captions; None if they are few."""
    for least in LEAST_IMAGES:
        with suppress(DataError):
            return fit_keyword_calibration(words_on(matcher, dev, images, embed, least=least))
    return None
