"""Keyword queries to train on: people type "dog beach" where captions are sentences."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from visita.data.pairs import PairSet

MAX_WORDS = 3
WORD = re.compile(r"[^\W\d_]{2,}")


def with_keywords(pairs: PairSet, per_image: int, seed: int) -> PairSet:
    """Return ``pairs`` with ``per_image`` texts of one to three words added to each train image.

    The words are content words that several texts of the image share, or any of its
    only text; images without such words get none.
    """
    rng = np.random.default_rng(seed)
    texts: list[str] = []
    rows: list[int] = []
    truth = pairs.truth.tocsr()
    for row in np.flatnonzero(pairs.image_split == "train"):
        own = [pairs.texts[t] for t in truth.indices[truth.indptr[row] : truth.indptr[row + 1]]]
        words = shared_words(own)
        drawn = {_draw(words, rng) for _ in range(per_image)} if words else set()
        texts.extend(sorted(drawn))
        rows.extend([int(row)] * len(drawn))
    return _with_texts(pairs, texts, np.array(rows, dtype=np.int64))


def shared_words(texts: list[str]) -> list[str]:
    """Return the content words in at least two of the texts, or in the only one, sorted."""
    counts = Counter(word for text in texts for word in set(WORD.findall(text.lower())))
    least = min(2, len(texts))
    return sorted(w for w, n in counts.items() if n >= least and w not in ENGLISH_STOP_WORDS)


def _draw(words: list[str], rng: np.random.Generator) -> str:
    count = min(int(rng.integers(1, MAX_WORDS + 1)), len(words))
    return " ".join(rng.choice(words, count, replace=False))


def _with_texts(pairs: PairSet, texts: list[str], rows: NDArray[np.int64]) -> PairSet:
    shape = (len(pairs.image_ids), len(texts))
    extra = sparse.csr_array((np.ones(len(rows), bool), (rows, np.arange(len(rows)))), shape)
    return replace(
        pairs,
        texts=(*pairs.texts, *texts),
        truth=sparse.csr_array(sparse.hstack([pairs.truth, extra], format="csr")),
        text_split=np.concatenate([pairs.text_split, np.full(len(texts), "train")]),
    )
