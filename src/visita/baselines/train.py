"""Training a system that the papers compare with: one matcher among others."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from visita.baselines.baseline import Baseline, VectorBaseline, WordBaseline
from visita.baselines.words import PairBaseline
from visita.data import Data, PairSet
from visita.encoders.vocabulary import Vocabulary
from visita.evaluation import PROTOCOLS, evaluate_vectors, fit_threshold
from visita.evaluation.blocks import as_vectors
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.rerank import RerankedPairs
from visita.evaluation.retrieval import rsum_of_scores, rsum_of_vectors
from visita.matchers.cross_modal import CrossModalReranker, reranker_of
from visita.matchers.embed import JointMatcher
from visita.matchers.rerank import RerankedMatcher
from visita.matchers.whole import WholeMatcher
from visita.store.extract import PairFeatures, pair_features, picture_features
from visita.training.calibrate import calibrate_searches
from visita.training.grids import cross_tensors
from visita.training.loop import History
from visita.training.tensors import PairTensors, as_matcher, whole_space
from visita.training.train import Run, Trained, warnings_about
from visita.training.tuning import Vectors
from visita.training.vectors import text_encoder_of, topic_facts
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
    """Train a baseline, as ``train`` says.

    Raises
    ------
    MissingExtraError
        If a library that it needs is not installed.
    """
    config.check()  # what cannot be learnt from is refused before long work
    run = Run.begin(data, out, config.seed, features)
    learnt = _learn(run, config)
    facts = run.facts(learnt.config, learnt.history)
    if isinstance(learnt.config, VectorBaseline):
        facts |= topic_facts(learnt.config)
    matcher = replace(learnt.matcher, facts=facts)
    fields, report = _measured(matcher, features_for(matcher, run.dev, features), config.seed)
    matcher = replace(matcher, **fields)
    matcher = run.save(matcher, learnt.history)
    warnings = warnings_about(matcher, learnt.history)
    return Trained(matcher, run.out, report, None, warnings, learnt.seconds)


def _learn(run: Run, config: Baseline) -> _Learnt:
    if isinstance(config, VectorBaseline):
        return _learn_vectors(run, config)
    if isinstance(config, PairBaseline):
        return _learn_pairs(run, config)
    assert isinstance(config, WordBaseline)
    reranker, history, seconds = _learn_words(run, config, config.recipe(), None)
    return _Learnt(WholeMatcher(name=run.name, packer=reranker), history, seconds, config)


def _learn_vectors(run: Run, config: VectorBaseline, stored: Recipe | None = None) -> _Learnt:
    """``stored`` is the recipe that the features are kept with, the system's own or more."""
    config = config.prepared(run.train)
    recipe, text = config.recipe(), text_encoder_of(config, run.pairs)
    train, dev = (
        PairTensors.of(pair_features(pairs, stored or recipe, text, run.features), recipe)
        for pairs in (run.train, run.dev)
    )
    started = time.perf_counter()
    network, history = config.learn(train, dev, rsum_of_vectors(dev.truth))
    seconds = time.perf_counter() - started
    widths = train.images.shape[-1], train.texts.shape[-1]
    space = whole_space(network, config.network, *widths)
    return _Learnt(as_matcher(run.name, space, recipe, text), history, seconds, config)


def _learn_words(
    run: Run, config: WordBaseline, stored: Recipe, validated: int | None
) -> tuple[CrossModalReranker, History, float]:
    """Return what packs and scores; ``validated`` is how many pictures of dev choose the epoch."""
    recipe = config.recipe()
    vocabulary = Vocabulary.fit(run.train.texts, config.vocabulary, config.longest)
    few = run.dev.subset(run.dev.some_images(validated, config.seed))
    train, dev = (
        cross_tensors(*picture_features(pairs, stored, run.features), recipe, vocabulary)
        for pairs in (run.train, few)
    )
    rsum = (
        rsum_of_scores(dev.truth)
        if isinstance(config, PairBaseline)
        else rsum_of_vectors(dev.truth)
    )
    started = time.perf_counter()
    network, history = config.learn(train, dev, rsum, vocabulary)
    seconds = time.perf_counter() - started
    return reranker_of(network, recipe, vocabulary), history, seconds


def _learn_pairs(run: Run, config: PairBaseline) -> _Learnt:
    first_config = config.first.model_copy(update={"seed": config.seed})
    stored = Recipe.union([first_config.recipe(), config.recipe()])
    first = _learn_vectors(run, first_config, stored)
    reranker, history, seconds = _learn_words(run, config, stored, config.validated)
    matcher = RerankedMatcher(
        name=run.name,
        first=first.matcher,
        reranker=reranker,
        weight=config.weight,
        depth=config.depth,
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
            vectors=few.vectors,
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
