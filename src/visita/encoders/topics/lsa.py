"""Latent semantic analysis: TF-IDF and truncated SVD over the words of many texts.

Deerwester et al., "Indexing by latent semantic analysis" (1990); the multi-level fusion
paper uses it with 500 topics. A word counts 1 + log tf, and a text keeps the weights of
its topics (U Σ, not U alone).

Fitting holds about four float32 arrays of (texts, topics) at once: 8 GB for a million
captions and 500 topics, and some minutes on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.utils.extmath import randomized_svd

from visita.encoders.topics.corpus import words
from visita.encoders.topics.model import MAX_WORDS, MIN_COUNT, WordTopics, check_fit, no_words
from visita.errors import RankError
from visita.types import FloatArray

POWER_ITERATIONS = 5
RANK_TOLERANCE = 1e-5
"""Singular values below this share of the largest are rounding errors."""
SETTINGS = {"analyzer": words, "sublinear_tf": True, "dtype": np.float32}


class LSA(WordTopics):
    """LSA as a ``TopicModel``: ``weights`` are idf, ``topics`` the right singular vectors."""

    name = "lsa"
    settings: ClassVar = {"sublinear_tf": True, "norm": "l2"}

    @classmethod
    def fit(cls, texts: Sequence[str], topics: int, seed: int) -> Self:
        """Learn from ``texts``: at most 50,000 words, each of which occurs in two of them.

        The same texts and seed give the same bits at one thread count.

        Raises
        ------
        ConfigError
            If ``topics`` is below 1.
        RankError
            If ``topics`` is above the rank of the texts; message and error name the rank.
        DataError
            If there are no texts, or no word that occurs in two of them.
        MissingExtraError
            If a text is Chinese and jieba is not installed.
        """
        check_fit(texts, topics)
        vectorizer = TfidfVectorizer(min_df=MIN_COUNT, max_features=MAX_WORDS, **SETTINGS)
        try:
            table = vectorizer.fit_transform(texts)
        except ValueError as error:  # its word for an empty vocabulary
            raise no_words(texts) from error
        _, sizes, rows = randomized_svd(
            table, min(topics, *table.shape), n_iter=POWER_ITERATIONS, random_state=seed
        )
        rank = np.count_nonzero(sizes > RANK_TOLERANCE * sizes[0])
        if rank < topics:
            raise RankError(
                f"topics={topics} is above the rank of the {len(texts)} texts with "
                f"{table.shape[1]} words: at most {rank}; set topics={rank} or give more texts.",
                int(rank),
            )
        return cls(vectorizer.get_feature_names_out().tolist(), vectorizer.idf_, rows.T)

    def project(self, texts: Sequence[str]) -> FloatArray:
        """Return tf-idf times the right singular vectors, float32 (m, dim); m is at least 1."""
        return np.asarray(self._vectorizer.transform(texts) @ self.topics, dtype=np.float32)

    @cached_property
    def _vectorizer(self) -> Any:
        order = {word: row for row, word in enumerate(self.words)}
        vectorizer = TfidfVectorizer(vocabulary=order, **SETTINGS)
        vectorizer.idf_ = self.weights
        return vectorizer
