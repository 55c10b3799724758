"""Metrics with intervals, from vectors or blocks of scores; numpy only."""

from visita.evaluation.blocks import ScoreBlocks, dot_blocks
from visita.evaluation.calibrate import (
    calibration_error,
    cross_fitted_calibration_error,
    fit_calibration,
    reliability,
)
from visita.evaluation.intervals import Difference, Estimate, paired_difference
from visita.evaluation.keywords import (
    LEAST_WORDS,
    KeywordQueries,
    Keywords,
    Words,
    fit_keyword_calibration,
    keyword_queries,
    keywords,
)
from visita.evaluation.match_probability import cross_fitted_pairs, fit_match_probability
from visita.evaluation.pairs import Pairs, best_f1_threshold, fit_threshold, pairs
from visita.evaluation.protocols import PROTOCOLS, evaluate_vectors
from visita.evaluation.ranks import Ranks, best_ranks, hits, mean_ranks, recall_at
from visita.evaluation.retrieval import (
    Folds,
    Retrieval,
    mean_over_seeds,
    measure_folds,
    measure_ranks,
    paired_retrieval,
    recall_sum,
    retrieval,
    retrieval_in_folds,
)
from visita.evaluation.search_calibration import fit_search_calibration
from visita.evaluation.tail import (
    FREQUENCIES,
    rarest_words,
    recall_by_frequency,
    recall_by_language,
)

__all__ = [
    "FREQUENCIES",
    "LEAST_WORDS",
    "PROTOCOLS",
    "Difference",
    "Estimate",
    "Folds",
    "KeywordQueries",
    "Keywords",
    "Pairs",
    "Ranks",
    "Retrieval",
    "ScoreBlocks",
    "Words",
    "best_f1_threshold",
    "best_ranks",
    "calibration_error",
    "cross_fitted_calibration_error",
    "cross_fitted_pairs",
    "dot_blocks",
    "evaluate_vectors",
    "fit_calibration",
    "fit_keyword_calibration",
    "fit_match_probability",
    "fit_search_calibration",
    "fit_threshold",
    "hits",
    "keyword_queries",
    "keywords",
    "mean_over_seeds",
    "mean_ranks",
    "measure_folds",
    "measure_ranks",
    "paired_difference",
    "paired_retrieval",
    "pairs",
    "rarest_words",
    "recall_at",
    "recall_sum",
    "recall_by_frequency",
    "recall_by_language",
    "reliability",
    "retrieval",
    "retrieval_in_folds",
]


def __dir__() -> list[str]:
    return sorted(__all__)
