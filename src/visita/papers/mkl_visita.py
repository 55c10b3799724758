"""The cells of MKL-VisITA's Tables 1 and 2 and of its ablations, on any pair set.

A system is a network trained with several seeds, which scores every picture with every text.
*Both stages* train nothing: the first stage's best are ordered by both, as in a search. An
ablation changes one thing of the second stage, and is compared with the second stage trained
for as many epochs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from visita.errors import UnknownNameError, did_you_mean
from visita.evaluation.blocks import BothWays, scores_both_ways
from visita.evaluation.pairs import best_f1_threshold
from visita.evaluation.ranks import ranks_both_ways, recall_at
from visita.evaluation.rerank import choose_weight
from visita.evaluation.retrieval import CUTOFFS, DIRECTIONS, rsum_of_scores
from visita.matchers.combine import ScaledMatcher
from visita.matchers.embed import JointMatcher
from visita.papers.mkl_visita_bench import (
    DEV,
    TEST,
    TRAIN,
    MklVisitaBench,
    first_pictures,
    two_stages,
)
from visita.papers.mkl_visita_claims import (
    BOTH,
    FIRST,
    FUSION,
    MATCH_ERROR,
    NO_ATTENTION,
    NO_HIERARCHY,
    NO_TRANSFORMER,
    ONE_CNN_LEVEL,
    PAPER_RNN,
    PAPER_TRANSFORMER,
    RECURRENT,
    REFERENCE,
    REFITTED,
    SECOND,
    TRANSFORMER,
    UNSCALED,
    one_kernel,
)
from visita.reports.cells import Cell, Result, seeded
from visita.reports.outcomes import PAIR_METRICS, Outcomes, pair_statistic
from visita.training.config import FusionConfig
from visita.training.cross_modal import all_scores, train_cross_modal
from visita.training.loop import History
from visita.training.mkl_config import CrossModalConfig, MklVisitaConfig, PaperCrossModalConfig
from visita.training.scaling import vectors_of
from visita.training.tensors import PairTensors
from visita.training.train import warnings_of
from visita.training.vectors import fit, keyword_tensors
from visita.types import FloatArray

EPOCHS = 10
"""Of the second stage: as many as ten minutes on two cores allow for Flickr8k."""
ABLATION_EPOCHS = 6
"""At most, of an ablation and of what it is compared with."""
PAPER_EPOCHS = 3
"""Of the paper's 100, which see every text, each in two pairs of its own; ten minutes too."""
NETWORK = (
    *("width", "dim", "heads", "depth", "levels", "kernels"),
    *("vocabulary", "longest", "text_depth"),
)
"""Settings of the second stage that the paper leaves open, so that they are ours there too."""
KEPT = (FIRST, SECOND, REFERENCE)
"""Systems whose scores of all pairs are kept, as both stages together need them."""
Plan = Mapping[str, Sequence[Cell]]
"""The cells of each system, one a seed."""
Scores = Mapping[str, FloatArray]
"""Of every picture with every text of dev and of test, float32 (n, m)."""


def plan(
    config: MklVisitaConfig,
    seeds: int,
    ablation_seeds: int,
    paper_epochs: int,
    chosen: Iterable[str] | None,
) -> Plan:
    """Return all systems; ``chosen`` names the ablations to run, None stands for all.

    Raises
    ------
    UnknownNameError
        If there is no such ablation, or it would change nothing.
    """
    first, second = config.stages()
    short = second.model_copy(update={"epochs": min(second.epochs, ABLATION_EPOCHS)})
    changed = {**unscaled(first), **ablations(short), **as_printed(second, paper_epochs)}
    for name in chosen or ():
        if name not in changed:
            raise UnknownNameError(
                f"No ablation is called {name!r}.{did_you_mean(name, changed)} "
                f"Known: {', '.join(changed)}."
            )
    selected = {
        name: settings
        for name, settings in changed.items()
        if chosen is None or name in set(chosen)
    }
    several = range(config.seed, config.seed + seeds)
    few = range(config.seed, config.seed + ablation_seeds)
    trained = {
        **{name: (settings, several) for name, settings in _main(first, second).items()},
        **{name: (settings, few) for name, settings in {REFERENCE: short, **selected}.items()},
    }
    same: dict[str, Cell] = {}  # what is trained alike is trained once
    systems: dict[str, Sequence[Cell]] = {}
    for name, (settings, its_seeds) in trained.items():
        cells = [_training(name, settings, seed) for seed in its_seeds]
        systems[name] = [same.setdefault(json.dumps(cell.settings), cell) for cell in cells]
    systems[BOTH] = [
        Cell(
            seeded(BOTH, seed),
            {FIRST: dict(first_cell.settings), SECOND: dict(second_cell.settings)},
        )
        for seed, first_cell, second_cell in zip(
            several, systems[FIRST], systems[SECOND], strict=True
        )
    ]
    return systems


def _main(first: FusionConfig, second: CrossModalConfig) -> dict[str, Any]:
    *_, last = first.image_levels
    fusion = first.model_copy(update={"image_levels": {last: first.image_levels[last]}})
    return {**({FUSION: fusion} if fusion != first else {}), FIRST: first, SECOND: second}


def unscaled(config: FusionConfig) -> dict[str, FusionConfig]:
    """Return the first stage without local scaling, where it has that."""
    return {UNSCALED: config.model_copy(update={"neighbours": 0})} if config.neighbours else {}


def ablations(config: CrossModalConfig) -> dict[str, CrossModalConfig]:
    """Return what each ablation trains, one change at a time; what changes nothing is left out."""
    last_levels = {encoder: levels[-1:] for encoder, levels in config.image_levels.items()}
    changes: dict[str, dict[str, Any]] = {
        NO_TRANSFORMER: {"depth": 0},
        NO_ATTENTION: {"levels": ("whole",)},
        NO_HIERARCHY: {"levels": ("words",)},
        ONE_CNN_LEVEL: {"image_levels": last_levels},
        **{one_kernel(kernel): {"kernels": (kernel,)} for kernel in config.kernels},
        REFITTED: {"kernel_weights": "simplemkl"},
        RECURRENT: {"text_side": "recurrent"},
        TRANSFORMER: {"text_side": "transformer"},
        MATCH_ERROR: {"loss": "match-error"},
    }
    changed = {name: config.model_copy(update=change) for name, change in changes.items()}
    return {name: variant for name, variant in changed.items() if variant != config}


def as_printed(config: CrossModalConfig, epochs: int) -> dict[str, CrossModalConfig]:
    """Return the network of ``config``, on its last encoder's grids, as the paper trains it."""
    *_, last = config.image_levels  # four views by every encoder would take hours
    ours = {name: getattr(config, name) for name in NETWORK}
    ours["image_levels"] = {last: config.image_levels[last]}
    paper = PaperCrossModalConfig.of({**ours, "epochs": epochs})
    return {
        PAPER_RNN: paper.model_copy(update={"text_side": "recurrent"}),
        PAPER_TRANSFORMER: paper.model_copy(update={"text_side": "transformer"}),
    }


def augmented(plan: Plan) -> list[CrossModalConfig]:
    """Return the settings of the cells that learn from augmented views."""
    cells = (cell for system, its_cells in plan.items() if system != BOTH for cell in its_cells)
    configs = (cell.settings["config"] for cell in cells)
    return [CrossModalConfig.of(config) for config in configs if config.get("views")]


def _training(system: str, config: FusionConfig | CrossModalConfig, seed: int) -> Cell:
    stage = "first" if isinstance(config, FusionConfig) else "second"
    seeding = config.model_copy(update={"seed": seed}).model_dump(mode="json")
    return Cell(seeded(system, seed), {"stage": stage, "config": seeding, "scores": system in KEPT})


def compute(cell: Cell, bench: MklVisitaBench) -> Result:
    """Train the network of a cell and measure it.

    The arrays are the ranks of the best true item, int64 ``images`` (n, 3) and ``texts`` (m, 3),
    the first pictures of each text, int64 ``found`` (m, FOUND), the scores of the drawn pairs,
    float64 ``pairs`` (p,), and which of them are true, bool ``labels`` (p,). Where settings ask
    for them, the scores of all pairs of dev and test, float32 (n, m), are there too.
    """
    stage = _first if cell.settings["stage"] == "first" else _second
    scores, facts = stage(cell, bench)
    result = _measured(bench, scores, scores_both_ways(scores[TEST]), facts)
    return Result(result.facts, {**result.arrays, **(scores if cell.settings["scores"] else {})})


def joinable(plan: Plan, trained: Mapping[str, Result]) -> list[Cell]:
    """Return the cells of both stages of those seeds for which each stage was trained."""
    return [cell for cell in plan[BOTH] if all(name in trained for name in _stages(cell))]


def join(cell: Cell, bench: MklVisitaBench, trained: Mapping[str, Result]) -> Result:
    """Order the first stage's best by both stages, and measure as ``compute`` does."""
    first, second = (trained[name].arrays for name in _stages(cell))
    weight = choose_weight(*two_stages(first[DEV], second[DEV], 0.0), bench.truth[DEV])
    scores = {
        part: np.asarray((1 - weight) * first[part] + weight * second[part], np.float32)
        for part in (DEV, TEST)
    }
    ways = two_stages(first[TEST], second[TEST], weight)
    return _measured(bench, scores, ways, {"weight": weight})


def _stages(cell: Cell) -> list[str]:
    """Return the names of the cells that a cell of both stages joins."""
    return [seeded(stage, cell.settings[stage]["config"]["seed"]) for stage in (FIRST, SECOND)]


def _first(cell: Cell, bench: MklVisitaBench) -> tuple[Scores, dict[str, Any]]:
    config = FusionConfig.of(cell.settings["config"])
    train, dev = bench.pooled(TRAIN, config), bench.pooled(DEV, config)
    keywords = keyword_tensors(bench.pairs(TRAIN), train, config, bench.text, bench.folder)
    started = time.perf_counter()
    matcher, history = fit(cell.name, train, dev, config, bench.text, keywords)
    seconds = time.perf_counter() - started

    def all_pairs(part: PairTensors) -> FloatArray:
        images, texts = vectors_of(matcher, part)
        return images @ texts.T

    scores = {DEV: all_pairs(dev), TEST: all_pairs(bench.pooled(TEST, config))}
    vectors = matcher.part if isinstance(matcher, ScaledMatcher) else matcher
    assert isinstance(vectors, JointMatcher)  # as ``fit`` made it
    return scores, _training_facts(vectors.network(), history, seconds)


def _second(cell: Cell, bench: MklVisitaBench) -> tuple[Scores, dict[str, Any]]:
    config = CrossModalConfig.of(cell.settings["config"])
    train, dev = bench.cross(TRAIN, config), bench.validated(config)
    started = time.perf_counter()
    validate, text = rsum_of_scores(dev.truth), bench.words(config).reader
    network, history = train_cross_modal(train, dev, validate, config, text=text)
    seconds = time.perf_counter() - started
    scores = {part: all_scores(network, bench.cross(part, config)) for part in (DEV, TEST)}
    facts = _training_facts(network, history, seconds)
    weights = network.kernels.weights().detach().numpy().astype(float).tolist()
    return scores, {**facts, "kernels": weights}


def _training_facts(network: Any, history: History, seconds: float) -> dict[str, Any]:
    return {
        "seconds": round(seconds, 1),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "dev": history.scores(),
        "warnings": warnings_of(history),
    }


def _measured(
    bench: MklVisitaBench, scores: Scores, ways: BothWays, facts: Mapping[str, Any]
) -> Result:
    pairs = {
        part: scores[part][drawn.images, drawn.texts].astype(np.float64)
        for part, drawn in bench.drawn.items()
    }
    threshold = best_f1_threshold(pairs[DEV], bench.drawn[DEV].labels)
    ranks = ranks_both_ways(ways, bench.truth[TEST])
    recalls = {
        f"{direction} R@{k}": recall_at(order, k)
        for direction, order in zip(DIRECTIONS, ranks, strict=True)
        for k in CUTOFFS
    }
    decided = pair_statistic([pairs[TEST]], [threshold], bench.drawn[TEST], bench.groups)
    [values] = decided(np.ones((1, bench.groups.count)))
    numbers = {**dict(zip(PAIR_METRICS, map(float, values), strict=True)), **recalls}
    return Result(
        {**facts, "threshold": threshold, **numbers, "rsum": sum(recalls.values())},
        {
            "images": ranks[0],
            "texts": ranks[1],
            "found": first_pictures(ways),
            "pairs": pairs[TEST],
            "labels": bench.drawn[TEST].labels,
        },
    )


@dataclass(frozen=True, eq=False)
class MklVisitaOutcomes(Outcomes):
    """The outcomes of a plan; see ``of_plan``.

    Attributes
    ----------
    bench : MklVisitaBench
    plan : mapping
        The cells of each system.
    results : mapping
        Those of all cells that could be computed, by their names.
    others : tuple of str
        Systems that the plan did not train.
    """

    bench: MklVisitaBench
    plan: Plan
    results: Mapping[str, Result]
    others: tuple[str, ...]

    def seen(self) -> NDArray[np.bool_]:
        """Return which images are in train or dev too, or ``others`` saw before, bool (n,)."""
        return super().seen() | self.bench.seen.any

    @classmethod
    def of_plan(
        cls,
        bench: MklVisitaBench,
        plan: Plan,
        results: Mapping[str, Result],
        others: Mapping[str, Result] | None = None,
    ) -> Self:
        """Return the outcomes of all systems of which every seed was measured, and of ``others``.

        So systems are compared on equal seeds.
        """
        runs = {
            system: [results[cell.name] for cell in cells]
            for system, cells in plan.items()
            if all(cell.name in results for cell in cells)
        }
        others = others or {}
        runs.update({name: [result] for name, result in others.items()})
        drawn, seed = bench.drawn[TEST], bench.config.seed
        return cls(runs, bench.groups, drawn, seed, bench, plan, results, tuple(others))
