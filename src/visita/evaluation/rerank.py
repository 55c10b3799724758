"""Re-ranking measured: a query's first few items by the vectors, in the order of both stages.

What is not re-ranked comes after what is, in the order of the vectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.evaluation import measure_folds, measure_ranks, retrieval, retrieval_in_folds
from visita.evaluation.blocks import ScoreBlocks, Truth, dot_blocks
from visita.evaluation.intervals import Values, components
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.pairs import (
    LabelledPairs,
    best_f1_threshold,
    draw_pairs,
    measure_pairs,
    pairs_to_measure,
    score_pairs,
)
from visita.evaluation.protocols import check_protocols
from visita.evaluation.ranks import Ranks, best_ranks
from visita.evaluation.retrieval import fold_rows, recall_sum
from visita.matchers.pair_probability import match_scores
from visita.progress import bar
from visita.store.extract import PairFeatures
from visita.types import FloatArray, Matcher, Reranker

BELOW = 4.0
"""Taken off the cosine of what is not re-ranked, so that it is below all that is."""
WEIGHTS = tuple(step / 20 for step in range(20))
"""Among which beta of the re-ranker is chosen."""


@dataclass(frozen=True)
class RerankedBlocks:
    """``ScoreBlocks`` of q queries and n items, of which each query's first are re-ranked.

    Attributes
    ----------
    first : ScoreBlocks
        Cosines.
    reranked : csr float32 (q, n)
        The re-ranker's scores, -1 to 1, at least of each query's first.
    weight : float
        beta of the re-ranker.
    depth : int
        How many of a query's items it scores.
    """

    first: ScoreBlocks
    reranked: sparse.csr_array
    weight: float
    depth: int

    @property
    def shape(self) -> tuple[int, int]:
        """Return (q, n)."""
        return self.first.shape

    def __iter__(self) -> Iterator[tuple[slice, FloatArray]]:
        for rows, cosines in self.first:
            items = first_items(cosines, self.depth)
            reranked = self.reranked[rows].toarray()
            scores = cosines - np.float32(BELOW)
            mixed = (1 - self.weight) * cosines + self.weight * reranked
            np.put_along_axis(scores, items, np.take_along_axis(mixed, items, 1), 1)
            yield rows, scores.astype(np.float32)


def first_items(scores: FloatArray, depth: int) -> NDArray[np.int64]:
    """Return the items with each query's ``depth`` best scores, in no order: int64 (q, depth)."""
    depth = min(depth, scores.shape[1])
    return np.argpartition(-scores, depth - 1, axis=1)[:, :depth]


def candidates(images: FloatArray, texts: FloatArray, depth: int) -> Truth:
    """Return which pairs are re-ranked in either direction, csr bool (n, m)."""
    by_image = _marked(dot_blocks(images, texts), depth)
    by_text = _marked(dot_blocks(texts, images), depth)
    return (by_image + by_text.T).tocsr()


def _marked(blocks: ScoreBlocks, depth: int) -> Truth:
    items = [first_items(scores, depth) for _, scores in blocks]
    columns = np.concatenate(items)
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    marks = np.ones(columns.size, bool)
    return sparse.csr_array((marks, (rows, columns.ravel())), shape=blocks.shape)


def reranked_ranks(
    images: FloatArray,
    texts: FloatArray,
    reranked: sparse.csr_array,
    truth: Truth,
    weight: float,
    depth: int,
) -> tuple[Ranks, Ranks]:
    """Return ``best_ranks`` of both directions, of images (n, 3) and of texts (m, 3).

    Parameters
    ----------
    images, texts : float32 (n, d), (m, d)
        Vectors.
    reranked : csr float32 (n, m)
        The re-ranker's scores of the ``candidates``.
    """
    forward = RerankedBlocks(dot_blocks(images, texts), reranked, weight, depth)
    backward = RerankedBlocks(dot_blocks(texts, images), reranked.T.tocsr(), weight, depth)
    return best_ranks(forward, truth), best_ranks(backward, truth.T.tocsr())


def choose_weight(by_image: RerankedBlocks, by_text: RerankedBlocks, truth: Truth) -> float:
    """Return the beta with the best rsum, of equally good ones the smallest.

    Parameters
    ----------
    by_image, by_text : RerankedBlocks
        Of n images that ask for m texts, and the other way round; their own weight is not used.
    truth : csr bool (n, m)
    """
    mirrored = truth.T.tocsr()
    sums = [
        recall_sum(
            best_ranks(replace(by_image, weight=weight), truth),
            best_ranks(replace(by_text, weight=weight), mirrored),
        )
        for weight in WEIGHTS
    ]
    return WEIGHTS[int(np.argmax(sums))]


@dataclass(frozen=True)
class RerankedPairs:
    """Images and texts, scored by the vectors of a matcher and by its re-ranker.

    Attributes
    ----------
    matcher : Matcher
        One that re-ranks.
    features : PairFeatures
        Of its recipe.
    """

    matcher: Matcher
    features: PairFeatures

    @property
    def _reranker(self) -> Reranker:
        assert self.matcher.reranker is not None  # the caller asked
        return self.matcher.reranker

    @cached_property
    def vectors(self) -> tuple[FloatArray, FloatArray]:
        """Vectors of images (n, d) and texts (m, d)."""
        images = self.matcher.embed_images(self.features.columns)
        return images, self.matcher.embed_texts(self.features.texts)

    @cached_property
    def _packed(self) -> tuple[NDArray[np.float16], list[FloatArray]]:
        images = self._reranker.pack_images(self.features.columns)
        return images, self._reranker.pack_texts(self.features.pairs.texts)

    def reranked(self, wanted: sparse.csr_array) -> sparse.csr_array:
        """Return the re-ranker's scores of the pairs ``wanted``, csr float32 (n, m)."""
        by_text = wanted.tocsc()
        images, texts = self._packed
        scores = np.empty(by_text.nnz, np.float32)
        with bar("re-ranking", by_text.shape[1]) as advance:
            for number, text in enumerate(texts):
                span = slice(by_text.indptr[number], by_text.indptr[number + 1])
                if span.stop > span.start:
                    scores[span] = self._reranker.scores(images[by_text.indices[span]], text)
                advance(1)
        table = sparse.csc_array((scores, by_text.indices, by_text.indptr), shape=by_text.shape)
        return table.tocsr()

    def match_scores(self, pairs: LabelledPairs) -> NDArray[np.float64]:
        """Return what the matcher's threshold is for, float64 (p,), of each pair by itself."""
        reranked = self._reranked_pairs(pairs)
        first = score_pairs(*self.vectors, pairs).astype(np.float32)
        scores = self.matcher.combine(first, reranked)
        features = self._known(pairs, reranked)
        return match_scores(self.matcher, scores, features).astype(np.float64)

    def match_features(self, pairs: LabelledPairs) -> NDArray[np.float64]:
        """Return what ``match_probability`` is of, float64 (p, f)."""
        return self._known(pairs, self._reranked_pairs(pairs))

    def _known(self, pairs: LabelledPairs, reranked: FloatArray) -> NDArray[np.float64]:
        texts, others = self.features.pairs.texts, self.matcher.retriever.any_texts
        return features_of_pairs(self.vectors, texts, pairs, reranked, others)

    def _reranked_pairs(self, pairs: LabelledPairs) -> FloatArray:
        at = pairs.images, pairs.texts
        shape = len(self.vectors[0]), len(self.vectors[1])
        wanted = sparse.csr_array((np.ones(len(pairs.labels), bool), at), shape=shape)
        return np.asarray(self.reranked(wanted)[at], np.float32)

    def by(self, matcher: Matcher) -> RerankedPairs:
        """Return them for a matcher of the same stages, which are not asked again."""
        pairs = replace(self, matcher=matcher)
        vars(pairs).update(vectors=self.vectors, _packed=self._packed)
        return pairs

    def of_texts(self, texts: Sequence[str]) -> RerankedPairs:
        """Return the same images with other texts, none of which is known as true."""
        images = self.features.pairs
        pairs = replace(
            images,
            texts=tuple(texts),
            truth=sparse.csr_array((len(images.image_ids), len(texts)), dtype=bool),
            text_split=np.full(len(texts), images.image_split[0]),
        )
        encoded = self.matcher.open_text_encoder().encode(texts)
        return RerankedPairs(self.matcher, PairFeatures(pairs, self.features.columns, encoded))

    def _ranks_within(self, images: NDArray[np.int64], *_: Any) -> tuple[Ranks, Ranks]:
        """Return the ranks of some images, by row, and their texts among themselves."""
        return RerankedPairs(self.matcher, self.features.of_images(images)).ranks()

    def dense(self) -> FloatArray:
        """Return the score of both stages for every pair, float32 (n, m); for some thousands."""
        first = self.vectors[0] @ self.vectors[1].T
        everything = sparse.csr_array(np.ones(first.shape, bool))
        return np.asarray(
            self.matcher.combine(first, self.reranked(everything).toarray()), np.float32
        )

    def ranks(self) -> tuple[Ranks, Ranks]:
        """Return the ranks by both stages: of images (n, 3) and of texts (m, 3)."""
        return self._ranks

    @cached_property
    def _ranks(self) -> tuple[Ranks, Ranks]:
        weight, depth = self.matcher.weight, self.matcher.depth
        reranked = self.reranked(candidates(*self.vectors, depth))
        truth = self.features.pairs.truth.tocsr()
        return reranked_ranks(*self.vectors, reranked, truth, weight, depth)

    def report(
        self,
        protocols: Sequence[str],
        threshold: float | None,
        source: str,
        seed: int,
        folds: int = 1,
    ) -> dict[str, Any]:
        """Return what ``evaluate_vectors`` does; retrieval by both stages and by the first.

        Raises
        ------
        UnknownNameError, ConfigError, DataError
            As there.
        """
        check_protocols(protocols, folds)
        truth = self.features.pairs.truth.tocsr()
        images, texts = self.vectors
        results: dict[str, Any] = {}
        if "retrieval" in protocols and folds == 1:
            ranks = self.ranks()
            measured = measure_ranks(ranks[0][None], ranks[1][None], components(truth), seed=seed)
            results["retrieval"] = measured.to_dict()
            results["first stage"] = retrieval(images, texts, truth, seed=seed).to_dict()
        elif "retrieval" in protocols:
            mean = measure_folds(self._ranks_within, truth, folds, seed=seed)
            first = retrieval_in_folds(images, texts, truth, folds, seed=seed)
            results["retrieval"], results["first stage"] = mean.to_dict(), first.to_dict()
        if "pairs" in protocols:
            assert threshold is not None  # a caller fits one, or the matcher has it
            drawn = pairs_to_measure(truth, seed=seed)
            results["pairs"] = measure_pairs(
                self.match_scores(drawn),
                drawn,
                truth,
                threshold=threshold,
                threshold_from=source,
                seed=seed,
            ).to_dict()
        return {"protocols": results, "seed": seed, "images": len(images), "texts": len(texts)}


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
    if matcher.reranker:
        return RerankedPairs(matcher, features).match_scores(drawn)
    vectors = matcher.embed_images(features.columns), matcher.embed_texts(features.texts)
    return vector_pair_scores(matcher, vectors, features.pairs.texts, drawn)


def vector_pair_scores(
    matcher: Matcher,
    vectors: tuple[FloatArray, FloatArray],
    texts: Sequence[str],
    drawn: LabelledPairs,
) -> Values:
    """Return what ``pair_scores`` does, by a matcher's vectors of images and of ``texts``."""
    features = features_of_pairs(vectors, texts, drawn, others=matcher.any_texts)
    return match_scores(matcher, score_pairs(*vectors, drawn), features).astype(np.float64)


def fitted_threshold(matcher: Matcher, features: PairFeatures, seed: int) -> float:
    """Return the score from which a pair counts as a match, with the best F1 on drawn pairs."""
    drawn = draw_pairs(features.pairs.truth.tocsr(), seed=seed)
    return best_f1_threshold(pair_scores(matcher, features, drawn), drawn.labels)


def _ranks(matcher: Matcher, features: PairFeatures) -> tuple[Ranks, Ranks]:
    if matcher.reranker:
        return RerankedPairs(matcher, features).ranks()
    images, texts = matcher.embed_images(features.columns), matcher.embed_texts(features.texts)
    truth = features.pairs.truth.tocsr()
    return (
        best_ranks(dot_blocks(images, texts), truth),
        best_ranks(dot_blocks(texts, images), truth.T.tocsr()),
    )
