"""The text encoder of a run: one that is installed, or a topic model fitted for it."""

from __future__ import annotations

from collections.abc import Sequence

from visita.data.pairs import PairSet
from visita.encoders.table import TEXT_ENCODERS, TOPIC_MODELS
from visita.encoders.topics.corpus import read_corpus
from visita.errors import UnknownNameError, did_you_mean
from visita.training.config import FeatureConfig
from visita.types import TextEncoder

LAYERS = 4
"""As many as the default reads of MiniLM."""


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
    """Return the levels whose tokens a closer look reads best: the last four layers.

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
