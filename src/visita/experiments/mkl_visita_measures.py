"""Measuring systems of one or two stages: ranks both ways, and pairs told apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.evaluation.blocks import ScoreBlocks, Truth
from visita.evaluation.dense import DenseBlocks
from visita.evaluation.ranks import Ranks, best_ranks
from visita.evaluation.retrieval import recall_sum
from visita.evaluation.two_stage import TwoStageBlocks
from visita.experiments.examples import FOUND
from visita.matchers.two_stage import DEPTH
from visita.types import FloatArray

BothWays = tuple[ScoreBlocks, ScoreBlocks]
"""Pictures that ask for texts, texts that ask for pictures."""


def one_stage(scores: FloatArray) -> BothWays:
    """Return the scores of all pairs, float32 (n, m), as they rank both ways."""
    return DenseBlocks(scores), DenseBlocks(np.ascontiguousarray(scores.T))


def two_stages(
    first: FloatArray, second: FloatArray, weight: float
) -> tuple[TwoStageBlocks, TwoStageBlocks]:
    """Return how both stages rank both ways, from the scores of each, float32 (n, m)."""
    looks = sparse.csr_array(second), sparse.csr_array(second.T)
    by_image, by_text = one_stage(first)
    return (
        TwoStageBlocks(by_image, looks[0], weight, DEPTH),
        TwoStageBlocks(by_text, looks[1], weight, DEPTH),
    )


def ranks_of(ways: BothWays, truth: Truth) -> tuple[Ranks, Ranks]:
    """Return the rank of each picture's best text (n, 3), and of each text's picture (m, 3)."""
    return best_ranks(ways[0], truth), best_ranks(ways[1], truth.T.tocsr())


def rsum(ways: BothWays, truth: Truth) -> float:
    """Return the sum of the six recalls, in percent."""
    return recall_sum(*ranks_of(ways, truth))


def first_pictures(ways: BothWays) -> NDArray[np.int64]:
    """Return the first pictures of each text, int64 (m, FOUND)."""
    return np.concatenate(
        [np.argsort(-scores, axis=1, kind="stable")[:, :FOUND] for _, scores in ways[1]]
    )
