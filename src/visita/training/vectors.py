"""Training vectors: those of visita's own recipe, or the multi-level fusion paper's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from visita.data import Data
from visita.data.pairs import PairSet
from visita.encoders.table import TEXT_ENCODERS, TOPIC_MODELS
from visita.encoders.topics.corpus import read_corpus
from visita.errors import UnknownNameError, did_you_mean
from visita.evaluation.measure import TOPICS_FROM, vectors
from visita.evaluation.retrieval import rsum_of_vectors
from visita.matchers.combine import ScaledMatcher
from visita.matchers.embed import JointMatcher
from visita.store.extract import PairFeatures, pair_features, text_features
from visita.training.calibrate import calibrated, learn_words
from visita.training.config import FeatureConfig, FusionConfig, PaperConfig
from visita.training.fusion import train_fusion
from visita.training.loop import History
from visita.training.paper import train_paper
from visita.training.scaling import scaled_on, vectors_of
from visita.training.tensors import PairTensors, level_widths
from visita.training.train import Run, Trained, warnings_about
from visita.training.words import keyword_pairs
from visita.types import Recipe, TextEncoder

LAYERS = 4
"""As many as the default reads of MiniLM."""
Learnt = JointMatcher | ScaledMatcher
"""What training on pairs alone gives; ``Matcher``s both, with fields to set."""


def train_vectors(
    data: Data,
    out: str | Path,
    *,
    config: FusionConfig | PaperConfig,
    features: str | Path | None = None,
) -> Trained:
    """Train visita's own recipe or the multi-level fusion paper's, as ``train`` says."""
    level_widths(config)  # what cannot be fused is refused before long work
    run = Run.begin(data, out, config.seed, features)
    text, recipe = text_encoder_of(config, run.pairs), config.recipe()
    dev = pair_features(run.dev, recipe, text, features)
    matcher, history, seconds = learn(run.name, run.train, dev, config, text, features, recipe)
    facts = {**run.facts(config, history), **topic_facts(config)}
    matcher, report = calibrated(matcher, dev, vectors(matcher, dev), config.seed, facts)
    matcher = run.save(matcher, history)
    return Trained(matcher, run.out, report, None, warnings_about(matcher, history), seconds)


def learn(
    name: str,
    pairs: PairSet,
    dev: PairFeatures,
    config: FusionConfig | PaperConfig,
    text: TextEncoder,
    features: str | Path | None,
    stored: Recipe,
) -> tuple[Learnt, History, float]:
    """Return the matcher, what happened and the seconds it took, features not counted.

    ``stored`` is the recipe that the features are kept with, the configuration's or more of
    it. Those of the training pairs, hundreds of megabytes, live here alone.
    """
    read = pair_features(pairs, stored, text, features)
    started = time.perf_counter()
    readable, train = read.pairs, PairTensors.of(read, config.recipe())
    del read
    keywords = None
    if isinstance(config, FusionConfig):
        keywords = keyword_tensors(readable, train, config, text, features)
    dev_tensors = PairTensors.of(dev, config.recipe())
    matcher, history = fit(name, train, dev_tensors, config, text, keywords)
    images, _ = vectors_of(matcher, replace(train, texts=train.texts[:1]))  # images alone
    matcher = replace(matcher, words=learn_words(matcher, readable, images))
    return matcher, history, time.perf_counter() - started


def fit(
    name: str,
    train: PairTensors,
    dev: PairTensors,
    config: FusionConfig | PaperConfig,
    text: TextEncoder,
    keywords: PairTensors | None,
) -> tuple[Learnt, History]:
    """Return the trained matcher, without threshold or calibration, and what happened.

    ``keywords`` are short texts for the images of ``train``, as ``keyword_tensors`` gives.

    Raises as ``loop.fit`` does.
    """
    validate = rsum_of_vectors(dev.truth)
    if isinstance(config, PaperConfig):
        return train_paper(name, train, dev, validate, config, text)
    matcher, history = train_fusion(name, train, dev, validate, config, text, keywords)
    return scaled_on(matcher, train, dev, validate, config), history


def keyword_tensors(
    pairs: PairSet,
    train: PairTensors,
    config: FusionConfig,
    text: TextEncoder,
    features: str | Path | None,
) -> PairTensors | None:
    """Return short texts for the images of ``train``, or None where there are none."""
    drawn = keyword_pairs(pairs, config.keywords_per_image, config.seed)
    if not drawn.texts:
        return None
    texts = text_features(drawn.texts, text, features)
    return PairTensors(train.images, texts.pooled(), drawn.truth)


def text_encoder_of(config: FeatureConfig, pairs: PairSet) -> TextEncoder:
    """Return the configuration's text encoder; a topic model is fitted first.

    Without ``topic_corpus`` it is fitted on the training texts of ``pairs`` only, or, where
    ``topics_from`` asks for it, on all of them.

    Raises
    ------
    UnknownNameError
        If there is no such encoder, topic model or level.
    ConfigError
        If the texts do not hold so many topics.
    DataError
        If the corpus cannot be read.
    """
    name = config.text_encoder
    encoder: TextEncoder
    if name in TOPIC_MODELS:
        encoder = TOPIC_MODELS.load(name).fit(
            _texts_to_fit_on(config, pairs), config.topics, config.seed
        )
    elif name in TEXT_ENCODERS:
        encoder = TEXT_ENCODERS.load(name)(config.text_levels)
    else:
        known = (*TEXT_ENCODERS.names(), *TOPIC_MODELS.names())
        raise UnknownNameError(
            f"No text encoder is called {name!r}.{did_you_mean(name, known)} "
            f"Known: {', '.join(known)}."
        )
    return encoder


def token_levels(encoder: str) -> tuple[str, ...]:
    """Return the levels whose tokens a re-ranker reads best: the last four layers.

    Raises
    ------
    UnknownNameError
        If there is no such encoder.
    """
    opened = TEXT_ENCODERS.load(encoder)()
    layers: tuple[str, ...] = getattr(opened, "layers", opened.levels)
    return layers[-LAYERS:]


def _texts_to_fit_on(config: FeatureConfig, pairs: PairSet) -> Sequence[str]:
    if config.topic_corpus:
        return read_corpus(config.topic_corpus)
    return pairs.texts if config.topics_from == "all" else pairs.take("train").texts


def topic_facts(config: FeatureConfig) -> dict[str, str]:
    """Return which texts a topic model was fitted on; nothing where there is none."""
    if config.text_encoder not in TOPIC_MODELS:
        return {}
    return {TOPICS_FROM: "corpus" if config.topic_corpus else config.topics_from}
