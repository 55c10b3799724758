"""The cells of Tables 2 to 5 and Fig. 3 of the multi-level fusion paper, on any pair set.

``fc`` is the last of the image levels and ``fc + mixed9`` is all of them, whatever encoder they
come from. Every system ranks the pictures of a gallery for every text: *recommendation* by the
picture of the nearest training text (eqs. 7 and 8), with raw or fused features; *direct matching*
by the cosine of fused features and text. Each trained network answers both ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.data.identity import identities
from visita.data.pairs import PairSet, held_out
from visita.data.seen import Overlap, Seen
from visita.encoders.topics.model import most_topics
from visita.errors import ConfigError
from visita.evaluation.blocks import Truth, dot_blocks
from visita.evaluation.intervals import components
from visita.evaluation.ranks import best_ranks, hits
from visita.evaluation.retrieval import recall_sum
from visita.evaluation.unseen import kept
from visita.gallery.engines import ExactIndex
from visita.papers.fusion_claims import DIRECT, RECOMMEND, SYSTEMS
from visita.progress import say
from visita.reports.cells import Cell, Result, seeded
from visita.reports.outcomes import FOUND
from visita.search.collaborative import nearest_past, past_pictures
from visita.store.extract import pair_features
from visita.training.config import PaperConfig
from visita.training.paper import train_paper
from visita.training.tensors import PairTensors, Spans
from visita.training.train import warnings_of
from visita.training.tuning import Validate, embed
from visita.training.vectors import text_encoder_of
from visita.types import FloatArray, TextEncoder
from visita.vectors import unit

SMALL, WHOLE, UNSEEN = "small", "whole", "unseen"
"""Galleries; the last is the second, asked for pictures that are not in train or dev too."""


@dataclass(frozen=True)
class TestGallery:
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
class FusionBench:
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
    galleries : dict of TestGallery
        ``whole`` and, where there are more pictures than it has, ``small``; ``unseen`` where
        measured pictures are in train or dev too.
    seen : Overlap
        Which those are.
    """

    pairs: PairSet
    train: PairTensors
    dev: PairTensors
    test: PairTensors
    text: TextEncoder
    config: PaperConfig
    last: int
    galleries: Mapping[str, TestGallery]
    seen: Overlap

    @cached_property
    def remembered(self) -> NDArray[np.int64]:
        """The training picture that eq. 7 chooses for each measured text, int64 (m,)."""
        nearest = nearest_past(self.test.texts, self.train.texts)
        return past_pictures(self.train.truth)[nearest]

    def at(self, levels: str) -> FusionBench:
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
) -> FusionBench:
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
    pairs = held_out(pairs, split, config.seed)
    config, text = fit_topics(config, pairs)
    used = pair_features(pairs, config.recipe(), text, features)
    train, dev, test = (used.take(part) for part in ("train", "dev", "test"))
    last = config.recipe().columns()[-1]
    seen = Seen.of(used.pairs).among(identities(test.pairs.image_paths))
    galleries = _galleries(test.pairs.truth, small, config.seed)
    if seen.any.any():
        galleries[UNSEEN] = _asked_for(test.pairs.truth, ~seen.any)
    return FusionBench(
        pairs=used.pairs,
        train=PairTensors.of(train, config.recipe()),
        dev=PairTensors.of(dev, config.recipe()),
        test=PairTensors.of(test, config.recipe()),
        text=text,
        config=config,
        last=used.columns[last].shape[1],
        galleries=galleries,
        seen=seen,
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


def _galleries(truth: Truth, small: int, seed: int) -> dict[str, TestGallery]:
    count = truth.shape[0]
    galleries = {}
    if small < count:
        drawn = np.random.default_rng(seed).choice(count, small, replace=False)
        galleries[SMALL] = _gallery(truth, np.sort(drawn))
    return {**galleries, WHOLE: _gallery(truth, np.arange(count))}


def _gallery(truth: Truth, images: NDArray[np.int64]) -> TestGallery:
    own = truth.tocsr()[images]
    texts = np.flatnonzero(own.sum(axis=0))
    own = own[:, texts]
    name = f"{len(images):,} images"
    return TestGallery(name, images, texts, own.T.tocsr(), components(own).texts)


def _asked_for(truth: Truth, wanted: NDArray[np.bool_]) -> TestGallery:
    """Return all pictures, of which only some, bool (n,), are asked for."""
    images, texts, groups = kept(components(truth), wanted)
    name = f"{len(images):,} images, asked for {images.sum():,} that were not seen"
    return TestGallery(
        name,
        np.arange(len(images)),
        np.flatnonzero(texts),
        truth.T.tocsr()[texts],
        groups.texts,
    )


def plan(config: PaperConfig, seeds: int) -> list[Cell]:
    """Return a cell for each network and seed, and one for each kind of raw features."""
    plain: dict[str, Any] = {"hidden_activation": config.hidden_activation, "l2": config.l2}
    variants: dict[str, tuple[str, dict[str, Any]]] = {
        "MLP(fc)": ("last", plain),
        "MLP(fc + mixed9)": ("all", plain),
        "MLP(fc + mixed9), linear": ("all", {**plain, "hidden_activation": "none"}),
        "MLP(fc + mixed9), no L2": ("all", {**plain, "l2": 0.0}),
        "MLP(fc + mixed9), linear, no L2": ("all", {"hidden_activation": "none", "l2": 0.0}),
    }
    trained = [
        Cell(seeded(name, seed), {"levels": levels, "training": {**training, "seed": seed}})
        for seed in range(config.seed, config.seed + seeds)
        for name, (levels, training) in variants.items()
    ]
    return [
        *trained,
        Cell("fc", {"levels": "last", "training": None}),
        Cell("fc + mixed9", {"levels": "all", "training": None}),
    ]


def compute(cell: Cell, bench: FusionBench) -> Result:
    """Train and rank, or only rank, as the cell says.

    The arrays of the result are, for each way to answer and each gallery, the ranks of the best
    true picture, float64 (q,) under ``way/gallery``, and under ``way/found`` the first pictures
    of the whole gallery, int64 (m, FOUND).
    """
    at = bench.at(cell.settings["levels"])
    if cell.settings["training"] is None:
        images, past = at.test.images.mean(axis=1), at.train.images.mean(axis=1)
        return Result({}, _answers(RECOMMEND, past[bench.remembered], images, bench))
    config = at.config.model_copy(update=cell.settings["training"])
    validate = _recalls_on(at.dev)
    matcher, history = train_paper(cell.name, at.train, at.dev, validate, config, at.text)
    spans = Spans.whole(at.train.images.shape[-1], at.train.texts.shape[-1])
    network = matcher.network()
    past, _ = embed(network, at.train, spans)
    images, texts = embed(network, at.test, spans)
    facts = {"dev": history.scores(), "warnings": warnings_of(history)}
    arrays = {
        **_answers(RECOMMEND, past[bench.remembered], images, bench),
        **_answers(DIRECT, texts, images, bench),
    }
    return Result(facts, arrays)


def _recalls_on(dev: PairTensors) -> Validate:
    """Return what scores the vectors of ``dev``: text to image R@1 + R@5 + R@10."""
    truth = dev.truth.T.tocsr()

    def score(images: FloatArray, texts: FloatArray) -> float:
        ranks = best_ranks(dot_blocks(texts, images), truth)
        return recall_sum(ranks)

    return score


def _answers(
    way: str, queries: FloatArray, images: FloatArray, bench: FusionBench
) -> dict[str, NDArray[Any]]:
    queries, images = unit(queries), unit(images)
    answers: dict[str, NDArray[Any]] = {
        f"{way}/{key}": best_ranks(
            dot_blocks(queries[gallery.texts], images[gallery.images]), gallery.truth
        )
        for key, gallery in bench.galleries.items()
    }
    nearest, _ = ExactIndex(images).search(queries, FOUND)
    return {**answers, f"{way}/found": nearest}


@dataclass(frozen=True)
class FusionOutcomes:
    """The results of the cells, by system."""

    results: Mapping[str, Result]
    seeds: Sequence[int]

    def arrays(self, system: str, key: str) -> list[NDArray[Any]]:
        """Return an array of each seed's result.

        Raises
        ------
        KeyError
            If there is none.
        """
        name, way = SYSTEMS[system]
        names = [name, *(seeded(name, seed) for seed in self.seeds)]
        arrays = [
            self.results[name].arrays[f"{way}/{key}"] for name in names if name in self.results
        ]
        if not arrays:
            raise KeyError(system)
        return arrays

    def hits(self, system: str, gallery: str, cutoff: int) -> NDArray[np.float64]:
        """Return how often, in percent over seeds, each query was answered within ``cutoff``."""
        ranks = np.stack(self.arrays(system, gallery))
        return np.asarray(100 * hits(ranks, [cutoff])[..., 0].mean(axis=0), np.float64)
