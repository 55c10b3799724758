"""Metrics with intervals, from vectors or blocks of scores; numpy only."""

from visita.evaluation.blocks import ScoreBlocks, dot_blocks
from visita.evaluation.calibration import (
    calibration_error,
    cross_fitted_calibration_error,
    fit_calibration,
    reliability,
)
from visita.evaluation.intervals import Difference, Estimate, paired_difference
from visita.evaluation.keyword_calibration import (
    LEAST_WORDS,
    cross_fitted_keyword_error,
    fit_keyword_calibration,
)
from visita.evaluation.keywords import KeywordQueries, Keywords, keyword_queries, keywords
from visita.evaluation.pairs import Pairs, best_f1_threshold, fit_threshold, pairs
from visita.evaluation.protocols import PROTOCOLS, evaluate_vectors
from visita.evaluation.retrieval import (
    Retrieval,
    best_ranks,
    mean_over_seeds,
    paired_retrieval,
    recall_at,
    retrieval,
)

__all__ = [
    "LEAST_WORDS",
    "PROTOCOLS",
    "Difference",
    "Estimate",
    "KeywordQueries",
    "Keywords",
    "Pairs",
    "Retrieval",
    "ScoreBlocks",
    "best_f1_threshold",
    "best_ranks",
    "calibration_error",
    "cross_fitted_calibration_error",
    "cross_fitted_keyword_error",
    "dot_blocks",
    "evaluate_vectors",
    "fit_calibration",
    "fit_keyword_calibration",
    "fit_threshold",
    "keyword_queries",
    "keywords",
    "mean_over_seeds",
    "paired_difference",
    "paired_retrieval",
    "pairs",
    "recall_at",
    "reliability",
    "retrieval",
]
