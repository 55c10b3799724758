"""Learning from captions which pictures one to three words name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from visita.data.pairs import PairSet
from visita.evaluation.keywords import words_held
from visita.types import FloatArray

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


LEAST_IMAGES = 5
"""That a word, or two side by side, is learnt from."""
SURE = 2
"""Captions of a picture: named by so many, a thing is shown for sure."""
PRIOR = 0.4
IMAGE_RIDGE, TEXT_RIDGE = 3.0, 0.5
"""Chosen on Flickr8k's dev: words, pairs of words and words never trained on; see the notebook."""


def named_things(pairs: PairSet) -> tuple[tuple[str, ...], sparse.csr_array]:
    """Return content words, single and two side by side, and which pictures captions call so.

    The second is csr float64 (words, n): from how many captions a picture has it, as a part of
    ``SURE``, at most 1.
    """
    sentences = [_content(text) for text in pairs.texts]
    frequent = Counter(word for words in sentences for word in words)
    names = sorted(word for word, count in frequent.items() if count >= LEAST_IMAGES)
    truth = pairs.truth.tocsr().astype(np.float64)
    held = (truth @ words_held(sentences, names)).T.tocsr()
    sure = np.minimum(SURE, np.maximum(np.median(truth.sum(axis=1)), 1))
    held.data = np.minimum(held.data / sure, 1)
    depicted = np.flatnonzero(np.diff(held.indptr) >= LEAST_IMAGES)
    return tuple(names[number] for number in depicted), held[depicted]


def fit_word_map(
    images: FloatArray, texts: FloatArray, held: sparse.csr_array, prior: FloatArray | None = None
) -> NDArray[np.float16]:
    """Return the map A that minimises Σ (held - <image, A text>)², with ridges, float16 (d, d).

    It is known in closed form: the images are centred, so the mean of ``held`` does not count.

    Parameters
    ----------
    images : float32 (n, d)
        A matcher's vectors of training pictures.
    texts : float32 (words, d)
        Those of the words.
    held : csr float64 (words, n)
    prior : float (d, d), optional
        What A is drawn to; ``PRIOR`` times the identity, by which words are found as sentences
        are.
    """
    centred = images.astype(np.float64)
    centred -= centred.mean(axis=0)
    words = texts.astype(np.float64)
    width = words.shape[1]
    start = PRIOR * np.eye(width) if prior is None else np.asarray(prior, np.float64)
    covariance, between = centred.T @ centred, words.T @ words
    residual = centred.T @ (held.T @ words) - covariance @ start @ between
    change = np.linalg.solve(covariance + IMAGE_RIDGE * np.eye(width), residual)
    matrix = start + np.linalg.solve(between + TEXT_RIDGE * np.eye(width), change.T).T
    return matrix.astype(np.float16)


def _content(text: str) -> set[str]:
    words = WORD.findall(text.lower())
    said = [None if word in ENGLISH_STOP_WORDS else word for word in words]
    return {w for w in said if w} | {f"{a} {b}" for a, b in pairwise(said) if a and b}
