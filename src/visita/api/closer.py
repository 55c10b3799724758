"""What a matcher's second stage thinks of pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.evaluation import measure_folds, measure_ranks, retrieval, retrieval_in_folds
from visita.evaluation.intervals import components
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.pairs import LabelledPairs, draw_pairs, measure_pairs, score_pairs
from visita.evaluation.protocols import check_protocols
from visita.evaluation.ranks import Ranks
from visita.evaluation.two_stage import looked_at, two_stage_ranks
from visita.matchers.match_probability import match_scores
from visita.matchers.two_stage import TwoStageMatcher
from visita.progress import bar
from visita.store.extract import PairFeatures
from visita.types import FloatArray


@dataclass(frozen=True)
class CloserLook:
    """Both stages over the images and texts of one split.

    Attributes
    ----------
    matcher : TwoStageMatcher
    features : PairFeatures
        Of its recipe.
    """

    matcher: TwoStageMatcher
    features: PairFeatures

    @cached_property
    def vectors(self) -> tuple[FloatArray, FloatArray]:
        """The first stage's vectors of images (n, d) and texts (m, d)."""
        images = self.matcher.embed_images(self.features.columns)
        return images, self.matcher.embed_texts(self.features.texts)

    @cached_property
    def _packed(self) -> tuple[NDArray[np.float16], list[FloatArray]]:
        second = self.matcher.second
        return second.pack_images(self.features.columns), second.pack_texts(
            self.features.pairs.texts
        )

    def second(self, wanted: sparse.csr_array) -> sparse.csr_array:
        """Return the second stage's scores of the pairs ``wanted``, csr float32 (n, m)."""
        by_text = wanted.tocsc()
        images, texts = self._packed
        scores = np.empty(by_text.nnz, np.float32)
        with bar("closer looks", by_text.shape[1]) as advance:
            for number, text in enumerate(texts):
                span = slice(by_text.indptr[number], by_text.indptr[number + 1])
                if span.stop > span.start:
                    scores[span] = self.matcher.second.scores(images[by_text.indices[span]], text)
                advance(1)
        found = sparse.csc_array((scores, by_text.indices, by_text.indptr), shape=by_text.shape)
        return found.tocsr()

    def match_scores(self, pairs: LabelledPairs) -> NDArray[np.float64]:
        """Return what the matcher's threshold is for, float64 (p,), of each pair by itself."""
        second = self._second_of(pairs)
        first = score_pairs(*self.vectors, pairs).astype(np.float32)
        scores = self.matcher.combine(first, second)
        features = features_of_pairs(self.vectors, self.features.pairs.texts, pairs, second)
        return match_scores(self.matcher, scores, features).astype(np.float64)

    def match_features(self, pairs: LabelledPairs) -> NDArray[np.float64]:
        """Return what ``MatchProbability`` is of, float64 (p, 5)."""
        second = self._second_of(pairs)
        return features_of_pairs(self.vectors, self.features.pairs.texts, pairs, second)

    def _second_of(self, pairs: LabelledPairs) -> FloatArray:
        at = pairs.images, pairs.texts
        shape = len(self.vectors[0]), len(self.vectors[1])
        wanted = sparse.csr_array((np.ones(len(pairs.labels), bool), at), shape=shape)
        return np.asarray(self.second(wanted)[at], np.float32)

    def by(self, matcher: TwoStageMatcher) -> CloserLook:
        """Return the look by a matcher of the same stages, which are not asked again."""
        other = replace(self, matcher=matcher)
        vars(other).update(vectors=self.vectors, _packed=self._packed)
        return other

    def of_texts(self, texts: Sequence[str]) -> CloserLook:
        """Return the look at the same images with other texts, none of which is known as true."""
        images = self.features.pairs
        pairs = replace(
            images,
            texts=tuple(texts),
            truth=sparse.csr_array((len(images.image_ids), len(texts)), dtype=bool),
            text_split=np.full(len(texts), images.image_split[0]),
        )
        encoded = self.matcher.open_text_encoder().encode(texts)
        return CloserLook(self.matcher, PairFeatures(pairs, self.features.columns, encoded))

    def _ranks_within(self, images: NDArray[np.int64], *_: Any) -> tuple[Ranks, Ranks]:
        """Return the ranks of some images, by row, and their texts among themselves."""
        return CloserLook(self.matcher, self.features.of_images(images)).ranks()

    def dense(self) -> FloatArray:
        """Return the score of both stages for every pair, float32 (n, m); for some thousands."""
        first = self.vectors[0] @ self.vectors[1].T
        everything = sparse.csr_array(np.ones(first.shape, bool))
        return np.asarray(
            self.matcher.combine(first, self.second(everything).toarray()), np.float32
        )

    def ranks(self) -> tuple[Ranks, Ranks]:
        """Return the ranks by both stages: of images (n, 3) and of texts (m, 3)."""
        return self._ranks

    @cached_property
    def _ranks(self) -> tuple[Ranks, Ranks]:
        weight, depth = self.matcher.weight, self.matcher.depth
        second = self.second(looked_at(*self.vectors, depth))
        truth = self.features.pairs.truth.tocsr()
        return two_stage_ranks(*self.vectors, second, truth, weight, depth)

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
            both = measure_ranks(ranks[0][None], ranks[1][None], components(truth), seed=seed)
            results["retrieval"] = both.to_dict()
            results["first stage"] = retrieval(images, texts, truth, seed=seed).to_dict()
        elif "retrieval" in protocols:
            mean = measure_folds(self._ranks_within, truth, folds, seed=seed)
            first = retrieval_in_folds(images, texts, truth, folds, seed=seed)
            results["retrieval"], results["first stage"] = mean.to_dict(), first.to_dict()
        if "pairs" in protocols:
            assert threshold is not None  # a caller fits one, or the matcher has it
            drawn = draw_pairs(truth, seed=seed)
            results["pairs"] = measure_pairs(
                self.match_scores(drawn),
                drawn,
                truth,
                threshold=threshold,
                threshold_from=source,
                seed=seed,
            ).to_dict()
        return {"protocols": results, "seed": seed, "images": len(images), "texts": len(texts)}
