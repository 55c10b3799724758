"""What all systems of a reproduction learn from, choose by and are measured on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visita.data.pairs import PairSet
from visita.encoders.topics.model import most_topics
from visita.errors import ConfigError
from visita.evaluation.blocks import Truth
from visita.evaluation.intervals import components
from visita.experiments.rearranged import rearranged
from visita.progress import say
from visita.search.collaborative import nearest_past, past_pictures
from visita.store.extract import pair_features
from visita.training.config import PaperConfig
from visita.training.tensors import PairTensors
from visita.training.texts import text_encoder_of
from visita.types import TextEncoder

SMALL, WHOLE = "small", "whole"


@dataclass(frozen=True)
class Gallery:
    """Pictures that are searched and the texts that ask for them.

    Attributes
    ----------
    name : str
    images, texts : int64 (n,), (q,)
        Their rows among the measured ones.
    truth : csr bool (q, n)
    groups : int64 (q,)
        Queries of one group are drawn together in a bootstrap.
    """

    name: str
    images: NDArray[np.int64]
    texts: NDArray[np.int64]
    truth: Truth
    groups: NDArray[np.int64]


@dataclass(frozen=True)
class Bench:
    """Everything that the cells of one run share.

    Attributes
    ----------
    pairs : PairSet
        Split train is learnt from, dev chooses the epoch, test is measured.
    train, dev, test : PairTensors
    text : TextEncoder
        What the texts were encoded with.
    config : PaperConfig
    last : int
        Width of the last image level.
    galleries : dict of Gallery
        ``whole`` and, where there are more pictures than it has, ``small``.
    """

    pairs: PairSet
    train: PairTensors
    dev: PairTensors
    test: PairTensors
    text: TextEncoder
    config: PaperConfig
    last: int
    galleries: Mapping[str, Gallery]

    @cached_property
    def remembered(self) -> NDArray[np.int64]:
        """The training picture that eq. 7 chooses for each measured text, int64 (m,)."""
        nearest = nearest_past(self.test.texts, self.train.texts)
        return past_pictures(self.train.truth)[nearest]

    def at(self, levels: str) -> Bench:
        """Return the bench with ``last`` level only, or with ``all``."""
        if levels == "all":
            return self
        [(encoder, names)] = self.config.image_levels.items()
        config = self.config.model_copy(update={"image_levels": {encoder: names[-1:]}})
        train, dev, test = (self._last(part) for part in (self.train, self.dev, self.test))
        return replace(self, config=config, train=train, dev=dev, test=test)

    def _last(self, tensors: PairTensors) -> PairTensors:
        return replace(tensors, images=np.ascontiguousarray(tensors.images[..., -self.last :]))

    def fingerprint(self) -> str:
        """Return a hash over all features and truths, and so over whatever they come from."""
        digest = sha256()
        for part in (self.train, self.dev, self.test):
            truth = part.truth.tocsr()
            for array in (part.images, part.texts, truth.indptr, truth.indices):
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def make_bench(
    pairs: PairSet, split: str, config: PaperConfig, small: int, features: str | Path | None
) -> Bench:
    """Extract the features, fit the topics and draw the small gallery.

    Raises
    ------
    ConfigError
        If there is not one image encoder with two levels, or ``split`` cannot be measured.
    DataError
        If a split is empty or no image can be read.
    """
    if len(config.image_levels) != 1 or len(*config.image_levels.values()) < 2:
        raise ConfigError(
            "Several levels are compared with the last one: give one image encoder with two "
            "levels or more."
        )
    pairs = rearranged(pairs, split, config.seed)
    config, text = fit_topics(config, pairs)
    used = pair_features(pairs, config.recipe(), text, features)
    train, dev, test = (used.take(part) for part in ("train", "dev", "test"))
    last = config.recipe().columns()[-1]
    return Bench(
        pairs=used.pairs,
        train=PairTensors.of(train, config.recipe()),
        dev=PairTensors.of(dev, config.recipe()),
        test=PairTensors.of(test, config.recipe()),
        text=text,
        config=config,
        last=used.columns[last].shape[1],
        galleries=_galleries(test.pairs.truth, small, config.seed),
    )


def fit_topics(config: PaperConfig, pairs: PairSet) -> tuple[PaperConfig, TextEncoder]:
    """Return the text encoder and the configuration, with the most topics the texts hold."""

    def fit(topics: int) -> tuple[PaperConfig, TextEncoder]:
        fitting = config.model_copy(update={"topics": topics})
        return fitting, text_encoder_of(fitting, pairs)

    fitted, encoder = most_topics(fit, config.topics)
    if fitted.topics < config.topics:
        say(f"The texts hold {fitted.topics} topics, not {config.topics}; going on with those.")
    return fitted, encoder


def _galleries(truth: Truth, small: int, seed: int) -> dict[str, Gallery]:
    count = truth.shape[0]
    galleries = {}
    if small < count:
        drawn = np.random.default_rng(seed).choice(count, small, replace=False)
        galleries[SMALL] = _gallery(truth, np.sort(drawn))
    return {**galleries, WHOLE: _gallery(truth, np.arange(count))}


def _gallery(truth: Truth, images: NDArray[np.int64]) -> Gallery:
    own = truth.tocsr()[images]
    texts = np.flatnonzero(own.sum(axis=0))
    own = own[:, texts]
    name = f"{len(images):,} images"
    return Gallery(name, images, texts, own.T.tocsr(), components(own).texts)
