"""Training MKL-VisITA: the vectors, the closer look, and how much each counts."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from visita.api.closer import CloserLook
from visita.api.finishing import calibrate, provenance
from visita.api.learning import Trained, learn
from visita.api.measuring import caveats
from visita.artifact import check_free
from visita.data import PairSet, open_pairs
from visita.evaluation import PROTOCOLS, best_ranks, recall_at
from visita.evaluation.dense import DenseBlocks, as_vectors
from visita.evaluation.two_stage import two_stage_ranks
from visita.features.encoders import TEXT_ENCODERS
from visita.features.extract import PairFeatures, pair_features
from visita.matchers.rescorer import Rescorer, rescorer_of, stack_grids
from visita.matchers.two_stage import DEPTH, TwoStageMatcher
from visita.training.config import CrossModalConfig, MklVisitaConfig
from visita.training.cross_modal import CrossTensors, train_cross_modal
from visita.training.curve import save_curve
from visita.training.loop import History
from visita.training.spans import level_widths
from visita.training.texts import text_encoder_of
from visita.training.watch import warnings_of
from visita.types import FloatArray, Matcher, Recipe, TokenEncoder

WEIGHTS = tuple(step / 20 for step in range(20))
"""Among which beta of the second stage is chosen."""
VALIDATED = 300
"""Pictures of dev that choose the epoch, with their texts: all with all would take minutes."""


def train_two_stages(
    data: PairSet | str,
    out: str | Path,
    *,
    config: MklVisitaConfig | None = None,
    features: Path | None = None,
) -> Trained:
    """Train both stages of MKL-VisITA on train, choose on dev, and save the matcher in ``out``.

    Raises
    ------
    DataError
        If train or dev is empty.
    ConfigError
        If the settings do not suit the data or each other.
    TrainingError
        If training cannot go on.
    """
    config = config or MklVisitaConfig()
    first_config, second_config = config.stages()
    level_widths(first_config)  # what cannot be fused is refused before long work
    check_free(Path(out).resolve())
    pairs = data if isinstance(data, PairSet) else open_pairs(data, seed=config.seed)
    text = text_encoder_of(first_config, pairs)
    recipe = Recipe.union([first_config.recipe(), second_config.recipe()])
    train_pairs = pairs.take("train")  # refuses an empty split before long work
    dev = pair_features(pairs.take("dev"), recipe, text, features)
    name = Path(out).resolve().name
    first, first_history, seconds = learn(
        name, train_pairs, dev, first_config, text, features, recipe
    )
    learnt = pair_features(train_pairs, recipe, text, features)
    started = time.perf_counter()
    tokens: TokenEncoder = TEXT_ENCODERS.load(second_config.text_encoder)(second_config.text_levels)
    second, history = train_second(learnt, dev, second_config, tokens)
    seconds += time.perf_counter() - started
    matcher, dense = joined(name, first, second, dev)
    facts = {
        "config": config.model_dump(mode="json"),
        "dev_rsum": [round(s, 2) for s in (history.start, *(e.dev for e in history.epochs))],
        **provenance(pairs),
    }
    fields = calibrate(matcher, dev.pairs, as_vectors(dense), config.seed)
    matcher = replace(matcher, facts=facts, **fields)
    matcher.save(Path(out), beside=lambda draft: save_curve(history, draft / "curve.png"))
    look = CloserLook(matcher, dev)
    report = look.report(PROTOCOLS, float(fields["threshold"]), "matcher", config.seed)
    warnings = [*warnings_of(first_history), *warnings_of(history), *caveats(matcher)]
    return Trained(matcher, Path(out), report, None, warnings, seconds)


def joined(
    name: str, first: Matcher, second: Rescorer, dev: PairFeatures
) -> tuple[TwoStageMatcher, FloatArray]:
    """Return the two-stage matcher, its weight chosen on dev, and its scores of all dev pairs."""
    look = CloserLook(TwoStageMatcher(name=name, first=first, second=second, weight=0.0), dev)
    truth = dev.pairs.truth.tocsr()
    every = sparse.csr_array(np.ones(truth.shape, bool))
    scores = look.second(every)
    weight = choose_weight(look.vectors, scores, truth)
    matcher = replace(look.matcher, weight=weight)
    cosines = look.vectors[0] @ look.vectors[1].T
    return matcher, np.asarray(matcher.combine(cosines, scores.toarray()), np.float32)


def train_second(
    train: PairFeatures, dev: PairFeatures, config: CrossModalConfig, text: TokenEncoder
) -> tuple[Rescorer, History]:
    """Return the second stage and what happened.

    Raises
    ------
    TrainingError
        If the loss stops being a number.
    ConfigError
        If the levels or kernels cannot be used.
    """
    recipe = config.recipe()
    chosen = np.random.default_rng(config.seed).permutation(len(dev.pairs.image_ids))[:VALIDATED]
    some = cross_tensors(dev.of_images(np.sort(chosen)), recipe, text)
    network, history = train_cross_modal(
        cross_tensors(train, recipe, text), some, lambda scores: _rsum(scores, some.truth), config
    )
    return rescorer_of(network, recipe, text), history


def cross_tensors(features: PairFeatures, recipe: Recipe, text: TokenEncoder) -> CrossTensors:
    """Return the grids of ``recipe`` and the tokens of the pairs, as training reads them."""
    tokens = text.tokens(features.pairs.texts)
    return CrossTensors(stack_grids(features.columns, recipe), tokens, features.pairs.truth.tocsr())


def choose_weight(
    vectors: tuple[FloatArray, FloatArray], second: sparse.csr_array, truth: sparse.csr_array
) -> float:
    """Return the beta with the best rsum, of equally good ones the smallest.

    ``second`` holds the second stage's scores, csr float32 (n, m), where it looks.
    """
    found = []
    for weight in WEIGHTS:
        ranks = two_stage_ranks(*vectors, second, truth, weight, DEPTH)
        found.append(sum(recall_at(one, k) for one in ranks for k in (1, 5, 10)))
    return WEIGHTS[int(np.argmax(found))]


def _rsum(scores: FloatArray, truth: sparse.csr_array) -> float:
    ranks = (
        best_ranks(DenseBlocks(scores), truth),
        best_ranks(DenseBlocks(np.ascontiguousarray(scores.T)), truth.T.tocsr()),
    )
    return sum(recall_at(one, k) for one in ranks for k in (1, 5, 10))
