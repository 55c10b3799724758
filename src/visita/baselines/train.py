"""Training a system that the papers compare with: one matcher among others."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visita.artifact import check_free
from visita.baselines.baseline import Baseline, VectorBaseline, WordBaseline
from visita.baselines.words import PairBaseline
from visita.data import Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import LEAST, check_enough
from visita.encoders.vocabulary import Vocabulary
from visita.evaluation import PROTOCOLS, evaluate_vectors, fit_threshold
from visita.evaluation.blocks import as_vectors
from visita.evaluation.measure import caveats, features_for, vectors
from visita.evaluation.rerank import RerankedPairs
from visita.matchers.cross_modal import CrossModalReranker, reranker_of
from visita.matchers.embed import JointMatcher
from visita.matchers.rerank import RerankedMatcher
from visita.matchers.whole import WholeMatcher
from visita.store.extract import PairFeatures, pair_features, picture_features
from visita.training.calibrate import Vectors, calibrate_searches, caveats_on_words, provenance
from visita.training.learn import (
    Trained,
    rsum_on,
    save_curve,
    text_encoder_of,
    topic_facts,
    warnings_of,
)
from visita.training.loop import History
from visita.training.tensors import PairTensors, as_matcher, whole_space
from visita.training.two_stage import cross_tensors, rsum_of_scores
from visita.types import Matcher, Recipe

CALIBRATED = 200
"""Pictures of dev, with their texts, on which a second stage's threshold is fitted: all pairs of
all of them would take an hour."""


@dataclass(frozen=True)
class _Learnt:
    matcher: JointMatcher | WholeMatcher | RerankedMatcher
    history: History
    seconds: float
    config: Baseline
    """With what was fitted before the rest."""


def train_baseline(
    data: Data, out: str | Path, *, config: Baseline, features: str | Path | None = None
) -> Trained:
    """Train a baseline on the train split, choose on dev, and save it in ``out``.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the settings do not suit the data or each other.
    MissingExtraError
        If a library that it needs is not installed.
    TrainingError
        If training cannot go on.
    """
    out = Path(out)
    config.check()  # what cannot be learnt from is refused before long work
    check_free(out.resolve())
    pairs = open_pairs(data, seed=config.seed)
    check_enough(pairs, {"train": LEAST, "dev": LEAST}, "Training")
    dev_pairs = interchangeable(pairs.take("dev"))
    read = _Read(pairs, pairs.take("train"), dev_pairs, features)
    learnt = _learn(out.resolve().name, read, config)
    history = learnt.history
    facts = {
        "config": learnt.config.model_dump(mode="json"),
        "dev_rsum": [round(s, 2) for s in (history.start, *(e.dev for e in history.epochs))],
        **provenance(pairs),
        **(topic_facts(learnt.config) if isinstance(learnt.config, VectorBaseline) else {}),
    }
    matcher = replace(learnt.matcher, facts=facts)
    dev = features_for(matcher, read.dev, features)
    fields, report = _measured(matcher, dev, config.seed)
    matcher = replace(matcher, **fields)
    matcher.save(out, beside=lambda draft: save_curve(history, draft / "curve.png"))
    warnings = [*warnings_of(history), *caveats(matcher), *caveats_on_words(matcher)]
    return Trained(matcher, out, report, None, warnings, learnt.seconds)


@dataclass(frozen=True)
class _Read:
    """What is learnt from, and where its features are."""

    pairs: PairSet
    train: PairSet
    dev: PairSet
    folder: str | Path | None


def _learn(name: str, read: _Read, config: Baseline) -> _Learnt:
    if isinstance(config, VectorBaseline):
        return _learn_vectors(name, read, config)
    if isinstance(config, PairBaseline):
        return _learn_pairs(name, read, config)
    assert isinstance(config, WordBaseline)
    reranker, history, seconds = _learn_words(read, config, config.recipe(), None)
    return _Learnt(WholeMatcher(name=name, packer=reranker), history, seconds, config)


def _learn_vectors(
    name: str, read: _Read, config: VectorBaseline, stored: Recipe | None = None
) -> _Learnt:
    """``stored`` is the recipe that the features are kept with, the system's own or more."""
    config = config.prepared(read.train)
    recipe, text = config.recipe(), text_encoder_of(config, read.pairs)
    train, dev = (
        PairTensors.of(pair_features(pairs, stored or recipe, text, read.folder), recipe)
        for pairs in (read.train, read.dev)
    )
    started = time.perf_counter()
    network, history = config.learn(train, dev, rsum_on(dev.truth))
    seconds = time.perf_counter() - started
    widths = train.images.shape[-1], train.texts.shape[-1]
    space = whole_space(network, config.network, *widths)
    return _Learnt(as_matcher(name, space, recipe, text), history, seconds, config)


def _learn_words(
    read: _Read, config: WordBaseline, stored: Recipe, validated: int | None
) -> tuple[CrossModalReranker, History, float]:
    """Return what packs and scores; ``validated`` is how many pictures of dev choose the epoch."""
    recipe = config.recipe()
    vocabulary = Vocabulary.fit(read.train.texts, config.vocabulary, config.longest)
    few = read.dev.subset(read.dev.some_images(validated, config.seed))
    train, dev = (
        cross_tensors(*picture_features(pairs, stored, read.folder), recipe, vocabulary)
        for pairs in (read.train, few)
    )
    rsum = rsum_of_scores(dev.truth) if isinstance(config, PairBaseline) else rsum_on(dev.truth)
    started = time.perf_counter()
    network, history = config.learn(train, dev, rsum, vocabulary)
    seconds = time.perf_counter() - started
    return reranker_of(network, recipe, vocabulary), history, seconds


def _learn_pairs(name: str, read: _Read, config: PairBaseline) -> _Learnt:
    first_config = config.first.model_copy(update={"seed": config.seed})
    stored = Recipe.union([first_config.recipe(), config.recipe()])
    first = _learn_vectors(name, read, first_config, stored)
    reranker, history, seconds = _learn_words(read, config, stored, config.validated)
    matcher = RerankedMatcher(
        name=name, first=first.matcher, reranker=reranker, weight=config.weight, depth=config.depth
    )
    return _Learnt(matcher, history, first.seconds + seconds, config)


def _measured(
    matcher: Matcher, dev: PairFeatures, seed: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return threshold and calibration, and the report on dev.

    These systems decide by their score, as their papers have them: none knows P(match).
    """
    if matcher.reranker:
        few = RerankedPairs(matcher, dev.of_images(dev.pairs.some_images(CALIBRATED, seed)))
        fields = _calibrated(
            *(matcher, few.features.pairs, as_vectors(few.dense()), seed),
            words=lambda texts: as_vectors(few.of_texts(texts).dense()),
        )
        scored = RerankedPairs(matcher, dev)
        first: Any = matcher.retriever
        fields["first"] = replace(first, **_calibrated(first, dev.pairs, scored.vectors, seed))
        return fields, scored.report(PROTOCOLS, float(fields["threshold"]), "matcher", seed)
    embedded = vectors(matcher, dev)
    fields = _calibrated(matcher, dev.pairs, embedded, seed)
    truth = dev.pairs.truth.tocsr()
    return fields, evaluate_vectors(*embedded, truth, threshold=fields["threshold"], seed=seed)


def _calibrated(
    matcher: Matcher, dev: PairSet, embedded: Vectors, seed: int, **words: Any
) -> dict[str, Any]:
    return {
        **calibrate_searches(matcher, dev, embedded, seed, **words),
        "threshold": fit_threshold(*embedded, dev.truth.tocsr(), seed=seed),
    }
