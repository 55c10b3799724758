"""The cells of Tables 2 to 5 and Fig. 3 of the multi-level fusion paper, on any pair set.

``fc`` is the last of the image levels and ``fc + mixed9`` is all of them, whatever encoder they
come from. Every system ranks the pictures of a gallery for every text: *recommendation* by the
picture of the nearest training text (eqs. 7 and 8), with raw or fused features; *direct matching*
by the cosine of fused features and text. Each trained network answers both ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.evaluation.blocks import dot_blocks
from visita.evaluation.ranks import best_ranks, hits
from visita.evaluation.retrieval import recall_sum
from visita.experiments.cells import Cell, Result, seeded
from visita.experiments.examples import FOUND
from visita.experiments.fusion_bench import Bench
from visita.experiments.fusion_claims import (
    DIRECT_FC,
    DIRECT_FUSED,
    LINEAR,
    LINEAR_L2,
    RECOMMEND_BOTH,
    RECOMMEND_FC,
    RECOMMEND_FUSED,
    SIGMOID,
    SIGMOID_L2,
)
from visita.gallery.exact import ExactIndex
from visita.training.config import PaperConfig
from visita.training.paper import train_paper
from visita.training.spans import Spans
from visita.training.tensors import PairTensors
from visita.training.tuning import Validate, embed
from visita.training.watch import warnings_of
from visita.types import FloatArray
from visita.vectors import unit

DIRECT, RECOMMEND = "direct", "recommendation"

SYSTEMS = {
    RECOMMEND_FC: ("fc", RECOMMEND),
    RECOMMEND_BOTH: ("fc + mixed9", RECOMMEND),
    RECOMMEND_FUSED: ("MLP(fc + mixed9)", RECOMMEND),
    DIRECT_FC: ("MLP(fc)", DIRECT),
    DIRECT_FUSED: ("MLP(fc + mixed9)", DIRECT),
    LINEAR: ("MLP(fc + mixed9), linear, no L2", RECOMMEND),
    SIGMOID: ("MLP(fc + mixed9), no L2", RECOMMEND),
    LINEAR_L2: ("MLP(fc + mixed9), linear", RECOMMEND),
    SIGMOID_L2: ("MLP(fc + mixed9)", RECOMMEND),
}
"""What each system is computed from, the features or a network, and how it answers."""


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


def compute(cell: Cell, bench: Bench) -> Result:
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
    facts = {
        "dev": [history.start, *(epoch.dev for epoch in history.epochs)],
        "warnings": warnings_of(history),
    }
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
    way: str, queries: FloatArray, images: FloatArray, bench: Bench
) -> dict[str, NDArray[Any]]:
    queries, images = unit(queries), unit(images)
    answers: dict[str, NDArray[Any]] = {
        f"{way}/{key}": best_ranks(
            dot_blocks(queries[gallery.texts], images[gallery.images]), gallery.truth
        )
        for key, gallery in bench.galleries.items()
    }
    found, _ = ExactIndex(images).search(queries, FOUND)
    return {**answers, f"{way}/found": found}


@dataclass(frozen=True)
class Outcomes:
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
        found = [self.results[one].arrays[f"{way}/{key}"] for one in names if one in self.results]
        if not found:
            raise KeyError(system)
        return found

    def hits(self, system: str, gallery: str, cutoff: int) -> NDArray[np.float64]:
        """Return how often, in percent over seeds, each query was answered within ``cutoff``."""
        ranks = np.stack(self.arrays(system, gallery))
        return np.asarray(100 * hits(ranks, [cutoff])[..., 0].mean(axis=0), np.float64)
