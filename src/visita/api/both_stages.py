"""What a matcher says of a split, by both stages where it has two: ranks and scores of pairs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visita.api.closer import CloserLook
from visita.evaluation.blocks import dot_blocks
from visita.evaluation.folds import fold_rows
from visita.evaluation.intervals import Values
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.pairs import LabelledPairs, best_f1_threshold, draw_pairs, score_pairs
from visita.evaluation.ranks import Ranks, best_ranks
from visita.matchers.match_probability import match_scores
from visita.matchers.two_stage import TwoStageMatcher
from visita.store.extract import PairFeatures
from visita.types import FloatArray, Matcher


def ranks(matcher: Matcher, features: PairFeatures, folds: int = 1) -> tuple[Ranks, Ranks]:
    """Return the rank of each image's best text, int64 (n, 3), and of each text's image (m, 3).

    With ``folds``, each ranks among those of its fold.

    Raises
    ------
    ConfigError, DataError
        If there cannot be so many folds.
    """
    pairs = features.pairs
    images, texts = (np.empty((count, 3), np.int64) for count in pairs.truth.shape)
    for some_images, some_texts in fold_rows(pairs.truth.tocsr(), folds):
        part = features if folds == 1 else features.of_images(some_images)
        images[some_images], texts[some_texts] = _ranks(matcher, part)
    return images, texts


def pair_scores(matcher: Matcher, features: PairFeatures, drawn: LabelledPairs) -> Values:
    """Return what the matcher's threshold is for, float64 (p,), of each drawn pair."""
    if isinstance(matcher, TwoStageMatcher):
        return CloserLook(matcher, features).match_scores(drawn)
    vectors = matcher.embed_images(features.columns), matcher.embed_texts(features.texts)
    return vector_pair_scores(matcher, vectors, features.pairs.texts, drawn)


def vector_pair_scores(
    matcher: Matcher,
    vectors: tuple[FloatArray, FloatArray],
    texts: Sequence[str],
    drawn: LabelledPairs,
) -> Values:
    """Return what ``pair_scores`` does, by a matcher's vectors of images and of ``texts``."""
    features = features_of_pairs(vectors, texts, drawn)
    return match_scores(matcher, score_pairs(*vectors, drawn), features).astype(np.float64)


def fitted_threshold(matcher: Matcher, features: PairFeatures, seed: int) -> float:
    """Return the score from which a pair counts as a match, with the best F1 on drawn pairs."""
    drawn = draw_pairs(features.pairs.truth.tocsr(), seed=seed)
    return best_f1_threshold(pair_scores(matcher, features, drawn), drawn.labels)


def _ranks(matcher: Matcher, features: PairFeatures) -> tuple[Ranks, Ranks]:
    if isinstance(matcher, TwoStageMatcher):
        return CloserLook(matcher, features).ranks()
    images, texts = matcher.embed_images(features.columns), matcher.embed_texts(features.texts)
    truth = features.pairs.truth.tocsr()
    return (
        best_ranks(dot_blocks(images, texts), truth),
        best_ranks(dot_blocks(texts, images), truth.T.tocsr()),
    )
