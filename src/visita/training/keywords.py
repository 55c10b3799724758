"""Keyword queries to train on: people type "dog beach" where captions are sentences."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from visita.data.pairs import PairSet

MAX_WORDS = 3
WORD = re.compile(r"[^\W\d_]{2,}")


def keyword_pairs(pairs: PairSet, per_image: int, seed: int) -> PairSet:
    """Return the same images with up to ``per_image`` texts of one to three words each.

    The words are content words that several texts of the image share, or any of its
    only text; an image without such words gets none.
    """
    rng = np.random.default_rng(seed)
    truth = pairs.truth.tocsr()
    texts: list[str] = []
    owners: list[int] = []
    for row in range(len(pairs.image_ids)):
        own = truth.indices[truth.indptr[row] : truth.indptr[row + 1]]
        words = shared_words([pairs.texts[text] for text in own])
        drawn = sorted({_draw(words, rng) for _ in range(per_image)} if words else ())
        texts += drawn
        owners += [row] * len(drawn)
    places = (np.array(owners, dtype=np.int64), np.arange(len(texts)))
    shape = (len(pairs.image_ids), len(texts))
    return replace(
        pairs,
        texts=tuple(texts),
        truth=sparse.csr_array((np.ones(len(texts), bool), places), shape),
        text_split=pairs.image_split[places[0]],
    )


def shared_words(texts: list[str]) -> list[str]:
    """Return the content words in at least two of the texts, or in the only one, sorted."""
    counts = Counter(word for text in texts for word in set(WORD.findall(text.lower())))
    least = min(2, len(texts))
    return sorted(w for w, n in counts.items() if n >= least and w not in ENGLISH_STOP_WORDS)


def _draw(words: list[str], rng: np.random.Generator) -> str:
    count = min(int(rng.integers(1, MAX_WORDS + 1)), len(words))
    return " ".join(rng.choice(words, count, replace=False))
