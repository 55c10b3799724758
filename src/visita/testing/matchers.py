"""Checks of matchers."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.errors import MismatchError
from visita.testing.encoders import TEXTS, check_fingerprint, close, near, raises
from visita.types import FloatArray, Matcher, Reranker, TextFeatures

MOST_BYTES = 4096
"""Of a packed picture."""


def check_matcher(matcher: Matcher, columns: Mapping[str, FloatArray], texts: TextFeatures) -> None:
    """Check a matcher on features of at least three different pictures and texts.

    Where it has a second stage, that is checked on the pictures and on texts of its own.

    Parameters
    ----------
    columns
        The recipe's columns, (n, d) each.
    texts
        From the matcher's text encoder and levels.

    Raises
    ------
    AssertionError
        If the matcher breaks the contract; the message says how.

    Examples
    --------
    >>> from visita.testing import check_matcher
    >>> finder = visita.Finder("visita-small")
    >>> pictures = [f"mypairs/0000{n}.jpg" for n in (0, 2, 4)]
    >>> columns = finder.pictures.encode_pictures(pictures)
    >>> texts = finder.texts.encode(["a dog", "a red circle", "a man on a horse"])
    >>> check_matcher(finder.matcher, columns, texts)
    """
    check_fingerprint(matcher)
    assert set(columns) >= set(matcher.recipe.columns()), "give every column of the recipe"
    before = {name: values.copy() for name, values in columns.items()}
    images = matcher.embed_images(columns)
    _check_vectors(images, len(next(iter(columns.values()))), matcher.dim, "embed_images")
    _check_vectors(matcher.embed_texts(texts), len(texts), matcher.dim, "embed_texts")
    same = all(np.array_equal(values, before[name]) for name, values in columns.items())
    assert same, "embed_images must leave its input as it was"
    for i in (0, 2):
        alone = matcher.embed_images({name: v[i : i + 1] for name, v in columns.items()})
        assert near(alone[0], images[i]), "a picture must give the same alone and among others"
        text = matcher.embed_texts(texts.take(np.array([i])))
        assert near(text[0], matcher.embed_texts(texts)[i]), "and so must a text"
    none = matcher.embed_images({name: values[:0] for name, values in columns.items()})
    _check_vectors(none, 0, matcher.dim, "embed_images")
    first = matcher.recipe.columns()[0]
    lacking = {name: values for name, values in columns.items() if name != first}
    refused = raises(MismatchError, lambda: matcher.embed_images(lacking))
    assert refused, "a missing column must be refused"
    _check_probability(matcher)
    if matcher.reranker:
        _check_reranker(matcher.reranker, columns)
        _check_combine(matcher)


def _check_reranker(reranker: Reranker, columns: Mapping[str, FloatArray]) -> None:
    shape = reranker.packed_shape
    assert 2 * shape[0] * shape[1] <= MOST_BYTES, f"a packed picture may take {MOST_BYTES} bytes"
    count = len(next(iter(columns.values())))
    images, texts = reranker.pack_images(columns), reranker.pack_texts(TEXTS)
    _check_packed(images, (count, *shape))
    assert not near(images[0], images[1]), "pack_images must tell pictures apart"
    _check_packed(reranker.pack_images({name: v[:0] for name, v in columns.items()}), (0, *shape))
    alone = reranker.pack_images({name: values[2:3] for name, values in columns.items()})
    assert close(alone[0], images[2]), "a picture must be packed the same alone and among others"
    assert len(texts) == len(TEXTS), "pack_texts must return one array a text"
    scores = np.stack([reranker.scores(images, text) for text in texts])
    assert scores.shape == (len(texts), count), "scores must return one number a picture"
    assert scores.dtype == np.float32, f"scores must return float32, not {scores.dtype}"
    assert np.isfinite(scores).all(), "scores must be finite, whatever the text"
    [lone] = reranker.pack_texts(TEXTS[2:3])
    lone_scores = reranker.scores(images[2:], lone)
    assert close(lone_scores, scores[2, 2:]), "a pair must score the same alone and among others"
    with _without_torch():  # by now its graphs exist
        packed, [text] = reranker.pack_images(columns), reranker.pack_texts(TEXTS[2:3])
        again = reranker.scores(packed[2:], text)
    same = np.array_equal(packed, images) and np.array_equal(again, lone_scores)
    assert same, "packing and scoring must give the same each time"


def _check_packed(packed: NDArray[Any], shape: tuple[int, ...]) -> None:
    assert packed.shape == shape, f"pack_images must return {shape}, not {packed.shape}"
    assert packed.dtype == np.float16, f"pack_images must return float16, not {packed.dtype}"
    assert np.isfinite(packed).all(), "pack_images must return finite numbers"


def _check_combine(matcher: Matcher) -> None:
    rising = np.linspace(-1, 1, 21, dtype=np.float32)
    still = np.zeros_like(rising)
    for combined in (matcher.combine(rising, still), matcher.combine(still, rising)):
        assert combined.shape == rising.shape, "combine must return one number a pair"
        assert (np.diff(combined) >= 0).all(), "a better score of a stage must not make both worse"


@contextmanager
def _without_torch() -> Iterator[None]:
    """Make every ``import torch`` fail meanwhile."""
    loaded = {name: module for name, module in sys.modules.items() if name == "torch"}
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    except ImportError as error:
        raise AssertionError("a re-ranker must not need torch once its graphs exist") from error
    finally:
        del sys.modules["torch"]
        sys.modules.update(loaded)


def _check_vectors(vectors: FloatArray, count: int, dim: int, what: str) -> None:
    shape = (count, dim)
    assert vectors.shape == shape, f"{what} must return {shape}, not {vectors.shape}"
    assert vectors.dtype == np.float32, f"{what} must return float32, not {vectors.dtype}"
    lengths = np.linalg.norm(vectors, axis=1)
    assert (lengths > 0).all() and (lengths < 1 + 1e-3).all(), (
        f"{what} must return vectors that are not zero and at most 1 long"
    )
    apart = count < 2 or not near(vectors[0], vectors[1])
    assert apart, f"{what} must tell different inputs apart"


def _check_probability(matcher: Matcher) -> None:
    scores = np.linspace(-1, 1, 21, dtype=np.float32)
    for size in (1, 1000):
        probabilities = matcher.probability(scores, size)
        if probabilities is None:
            return
        assert probabilities.shape == scores.shape, "probability must return one number a score"
        assert ((probabilities >= 0) & (probabilities <= 1)).all(), (
            "a probability is between 0 and 1"
        )
        assert (np.diff(probabilities) >= 0).all(), "a better score must not be less probable"
    estimator = matcher.match_probability
    if estimator is not None:
        known = 4 if matcher.retriever.any_texts is None else 2
        features = np.random.default_rng(0).uniform(-1, 1, (9, known + bool(matcher.reranker)))
        probabilities = estimator.of(features)
        assert probabilities.shape == (9,), "match_probability must return one number a pair"
        assert ((probabilities >= 0) & (probabilities <= 1)).all(), (
            "a probability is between 0 and 1"
        )
        alone = estimator.of(features[3:4])
        assert near(alone, probabilities[3:4]), "a pair must match the same alone and among others"
