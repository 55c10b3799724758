"""Training MKL-VisITA: the vectors, the closer look, and how much each counts."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from visita.evaluation import best_ranks, recall_at
from visita.evaluation.dense import DenseBlocks
from visita.evaluation.two_stage import two_stage_ranks
from visita.features.extract import PairFeatures
from visita.matchers.rescorer import Rescorer, rescorer_of, stack_grids
from visita.matchers.two_stage import DEPTH
from visita.training.config import CrossModalConfig
from visita.training.cross_modal import CrossTensors, train_cross_modal
from visita.training.loop import History
from visita.types import FloatArray, Recipe, TokenEncoder

WEIGHTS = tuple(step / 20 for step in range(20))
"""Among which beta of the second stage is chosen."""
VALIDATED = 300
"""Pictures of dev that choose the epoch, with their texts: all with all would take minutes."""


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
