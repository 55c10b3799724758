"""Checks that a plug-in keeps the contracts of visita, for our tests and for yours."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visita.encoders.contract import Computed
from visita.errors import ConfigError, DataError, MismatchError, UnknownNameError
from visita.gallery.engines import Index
from visita.types import FloatArray, ImageEncoder, Matcher, Reranker, TextEncoder, TextFeatures

TEXTS = (
    "A dog runs on a beach.",
    "",
    "snow",
    "  \n\t ",
    "naïve café, 照片 🐕 \u202e\x00",
    "lone half of a pair: \ud83d",
    "the quick brown fox jumps over the lazy dog " * 120 + "and sleeps",
)
"""What people and programs write: sentences, nothing, one word, odd Unicode, a book."""
MOST_BYTES = 4096
"""Of a packed picture."""


def check_encoder(encoder: ImageEncoder) -> None:
    """Check an image encoder: its levels, their shapes and their independence.

    Raises
    ------
    AssertionError
        If the encoder breaks the contract; the message says how.

    Examples
    --------
    >>> from visita.encoders.colours import Colours
    >>> from visita.testing import check_encoder
    >>> check_encoder(Colours())
    """
    for stated in ("name", "side", "reduced"):
        assert hasattr(encoder, stated), f"an encoder must state its {stated}"
    shapes = encoder.level_shapes()
    assert shapes, "an encoder must have a level"
    for level, shape in shapes.items():
        assert len(shape) in (1, 2) and min(shape) > 0, f"{level}: (d,) or (cells, d), not {shape}"
    _check_fingerprint(encoder)
    pixels = np.stack([_prepared(encoder, size) for size in ((640, 480), (31, 90), (1, 1))])
    levels = tuple(shapes)
    whole = _run(encoder, levels, pixels)
    for level, values in zip(levels, whole, strict=True):
        assert values.shape == (len(pixels), *shapes[level]), f"{level} has shape {values.shape}"
        assert values.dtype == np.float32, f"{level} must be float32, not {values.dtype}"
        assert np.isfinite(values).all(), f"{level} must be finite"
        assert not _near(values[0], values[1]), f"{level} must depend on the picture"
    few = levels[:: max(1, len(levels) // 3)][::-1]
    for level, values in zip(few, _run(encoder, few, pixels[1:2]), strict=True):
        same = _near(values[0], whole[levels.index(level)][1])
        assert same, f"{level} must not depend on the other pictures and levels that are asked for"
    unknown = "no such level"
    assert _raises(UnknownNameError, lambda: _run(encoder, [unknown], pixels)), (
        "must refuse a level"
    )


def _prepared(encoder: ImageEncoder, size: tuple[int, int]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(size).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    prepared = encoder.prepare(picture)
    shape = (encoder.side, encoder.side, 3)
    assert prepared.shape == shape, f"prepare must return {shape}, not {prepared.shape}"
    assert prepared.dtype == np.uint8, f"prepare must return uint8, not {prepared.dtype}"
    assert np.array_equal(np.asarray(picture), noise), "prepare must leave the picture as it was"
    return prepared


def _run(
    encoder: ImageEncoder, levels: Sequence[str], pixels: NDArray[np.uint8]
) -> list[NDArray[Any]]:
    if isinstance(encoder, Computed):
        return list(encoder.runner(levels)(pixels))
    import torch  # noqa: PLC0415 - whoever checks an index does not need it

    with torch.inference_mode():
        outputs = encoder.network(levels)(torch.from_numpy(pixels))
    assert len(outputs) == len(levels), "network must return one tensor a level"
    return [output.numpy() for output in outputs]


def check_text_encoder(encoder: TextEncoder) -> None:
    """Check a text encoder: nothing is cut off, refused or dependent on its neighbours.

    Raises
    ------
    AssertionError
        If the encoder breaks the contract; the message says how.

    Examples
    --------
    >>> from visita.encoders.table import TEXT_ENCODERS
    >>> from visita.testing import check_text_encoder
    >>> check_text_encoder(TEXT_ENCODERS.load("minilm-l6")())
    """
    _check_fingerprint(encoder)
    texts = list(TEXTS)
    features = encoder.encode(texts)
    _check_features(features, len(texts), encoder.dim)
    order = np.random.default_rng(0).permutation(len(texts))
    turned = encoder.encode([texts[i] for i in order])
    for place, i in enumerate(order):
        same = _near(_passages(turned, place), _passages(features, int(i)))
        assert same, f"{texts[i][:40]!r} must not depend on the texts beside it"
        alone = encoder.encode([texts[i]])
        assert _near(alone.vectors, _passages(features, int(i))), (
            f"{texts[i][:40]!r} alone: the same"
        )
    shorter = encoder.encode([texts[-1].removesuffix("and sleeps")])
    assert not _near(shorter.vectors, _passages(features, len(texts) - 1)), (
        "the last words of a long text must count; make it several passages"
    )
    _check_features(encoder.encode([]), 0, encoder.dim)


def _passages(features: TextFeatures, text: int) -> FloatArray:
    return features.vectors[features.offsets[text] : features.offsets[text + 1]]


def _check_features(features: TextFeatures, count: int, dim: int) -> None:
    offsets, vectors = features.offsets, features.vectors
    assert offsets.dtype == np.int64, f"offsets must be int64, not {offsets.dtype}"
    assert offsets.shape == (count + 1,), f"offsets of {count} texts have shape {offsets.shape}"
    assert offsets[0] == 0 and (np.diff(offsets) > 0).all(), "every text must have a passage"
    shape = (int(offsets[-1]), dim)
    assert vectors.shape == shape, f"vectors must have shape {shape}, not {vectors.shape}"
    assert vectors.dtype == np.float32, f"vectors must be float32, not {vectors.dtype}"
    assert np.isfinite(vectors).all(), "vectors must be finite"


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
    _check_fingerprint(matcher)
    assert set(columns) >= set(matcher.recipe.columns()), "give every column of the recipe"
    before = {name: values.copy() for name, values in columns.items()}
    images = matcher.embed_images(columns)
    _check_vectors(images, len(next(iter(columns.values()))), matcher.dim, "embed_images")
    _check_vectors(matcher.embed_texts(texts), len(texts), matcher.dim, "embed_texts")
    same = all(np.array_equal(values, before[name]) for name, values in columns.items())
    assert same, "embed_images must leave its input as it was"
    for i in (0, 2):
        alone = matcher.embed_images({name: v[i : i + 1] for name, v in columns.items()})
        assert _near(alone[0], images[i]), "a picture must give the same alone and among others"
        text = matcher.embed_texts(texts.take(np.array([i])))
        assert _near(text[0], matcher.embed_texts(texts)[i]), "and so must a text"
    none = matcher.embed_images({name: values[:0] for name, values in columns.items()})
    _check_vectors(none, 0, matcher.dim, "embed_images")
    first = matcher.recipe.columns()[0]
    lacking = {name: values for name, values in columns.items() if name != first}
    refused = _raises(MismatchError, lambda: matcher.embed_images(lacking))
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
    assert not _near(images[0], images[1]), "pack_images must tell pictures apart"
    _check_packed(reranker.pack_images({name: v[:0] for name, v in columns.items()}), (0, *shape))
    alone = reranker.pack_images({name: values[2:3] for name, values in columns.items()})
    assert _close(alone[0], images[2]), "a picture must be packed the same alone and among others"
    assert len(texts) == len(TEXTS), "pack_texts must return one array a text"
    scores = np.stack([reranker.scores(images, text) for text in texts])
    assert scores.shape == (len(texts), count), "scores must return one number a picture"
    assert scores.dtype == np.float32, f"scores must return float32, not {scores.dtype}"
    assert np.isfinite(scores).all(), "scores must be finite, whatever the text"
    [lone] = reranker.pack_texts(TEXTS[2:3])
    lone_scores = reranker.scores(images[2:], lone)
    assert _close(lone_scores, scores[2, 2:]), "a pair must score the same alone and among others"
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
    apart = count < 2 or not _near(vectors[0], vectors[1])
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
        features = np.random.default_rng(0).uniform(-1, 1, (9, 4 + bool(matcher.reranker)))
        probabilities = estimator.of(features)
        assert probabilities.shape == (9,), "match_probability must return one number a pair"
        assert ((probabilities >= 0) & (probabilities <= 1)).all(), (
            "a probability is between 0 and 1"
        )
        alone = estimator.of(features[3:4])
        assert _near(alone, probabilities[3:4]), "a pair must match the same alone and among others"


def _check_fingerprint(part: ImageEncoder | TextEncoder | Matcher) -> None:
    fingerprint = part.fingerprint()
    assert fingerprint and isinstance(fingerprint, str), "fingerprint must return some text"
    assert fingerprint == part.fingerprint(), "fingerprint must not change from call to call"


def _near(first: NDArray[Any], second: NDArray[Any]) -> bool:
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=1e-3, atol=1e-4))


def _close(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Tell whether two differ by what rounding to half precision can do."""
    return first.shape == second.shape and bool(np.allclose(first, second, rtol=2e-3, atol=1e-3))


def check_loss(loss: Callable[..., Any], **settings: float) -> None:
    """Check a loss over the scores of a batch, such as those in ``visita.networks.LOSSES``.

    Parameters
    ----------
    settings
        Its parameters after the first two.

    Raises
    ------
    AssertionError
        If the loss breaks the contract; the message says how.

    Examples
    --------
    >>> from visita.networks import LOSSES
    >>> from visita.testing import check_loss
    >>> check_loss(LOSSES.load("info-nce"), temperature=0.05, label_smoothing=0.1)
    """
    import torch  # noqa: PLC0415 - slow to import, and needed here alone

    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(6, 6, generator=generator).requires_grad_()
    also_true = torch.zeros(6, 6, dtype=torch.bool)
    also_true[0, 1] = True
    before = also_true.clone()
    value = loss(scores, also_true, **settings)
    assert isinstance(value, torch.Tensor), "a loss must be a tensor"
    assert value.ndim == 0, f"a loss must have shape (), not {tuple(value.shape)}"
    (gradient,) = torch.autograd.grad(value, scores)
    finite = torch.isfinite(value) and torch.isfinite(gradient).all()
    assert finite, "a loss and its gradient must be finite"
    assert torch.equal(also_true, before), "a loss must leave its input as it was"


def check_index(make_index: Callable[[FloatArray], Index], *, recall: float = 1.0) -> None:
    """Check a search engine against inner products computed one by one.

    Parameters
    ----------
    make_index
        Builds the engine from float32 unit vectors (n, d), with n from 0 on.
    recall
        Least share of the true best matches that it has to find; 1 also means the
        reference's order of equal scores.

    Raises
    ------
    AssertionError
        If the engine breaks the contract; the message says how.

    Examples
    --------
    >>> from visita.gallery.engines import ExactIndex
    >>> from visita.testing import check_index
    >>> check_index(ExactIndex)
    """
    rng = np.random.default_rng(0)
    vectors = _unit(rng.standard_normal((211, 19)))
    vectors[100:120] = vectors[7]  # equal pictures
    queries = np.concatenate([_unit(rng.standard_normal((30, 19))), vectors[[7, 50]]])
    index = make_index(vectors)
    assert len(index) == len(vectors), "len() must be the number of vectors"
    for k in (1, 10, len(vectors), len(vectors) + 5):
        _check_search(index, vectors, queries, k, recall)
    _check_alone_and_together(index, queries)
    _check_refusals(make_index, index, vectors, queries)


def _unit(vectors: NDArray[np.float64]) -> FloatArray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _check_search(
    index: Index, vectors: FloatArray, queries: FloatArray, k: int, recall: float
) -> None:
    rows, scores = index.search(queries, k)
    shape = (len(queries), min(k, len(vectors)))
    assert rows.shape == scores.shape == shape, f"results must have shape {shape}"
    assert rows.dtype == np.int64, f"rows must be int64, not {rows.dtype}"
    assert scores.dtype == np.float32, f"scores must be float32, not {scores.dtype}"
    hits = 0
    for query, some_rows, some_scores in zip(queries, rows, scores, strict=True):
        true = np.array([np.dot(query.astype(float), v.astype(float)) for v in vectors])
        assert len(set(some_rows.tolist())) == len(some_rows), "a row must come only once"
        assert (np.diff(some_scores) <= 0).all(), "the best score must come first"
        assert np.allclose(some_scores, true[some_rows], atol=1e-5), "scores must be inner products"
        best = np.lexsort((np.arange(len(true)), -true.astype(np.float32)))[: len(some_rows)]
        hits += np.isin(best, some_rows).sum()
        if recall == 1:
            assert (some_rows == best).all(), "equal scores must come in the order of rows"
    assert hits >= recall * rows.size, f"only {hits} of {rows.size} best matches were found"


def _check_alone_and_together(index: Index, queries: FloatArray) -> None:
    rows, scores = index.search(queries, 5)
    for i in range(len(queries)):
        row, score = index.search(queries[i : i + 1], 5)
        same = np.array_equal(row[0], rows[i]) and np.array_equal(score[0], scores[i])
        assert same, "a query must give the same alone and among others"


def _check_refusals(
    make_index: Callable[[FloatArray], Index],
    index: Index,
    vectors: FloatArray,
    queries: FloatArray,
) -> None:
    broken = vectors.copy()
    broken[3, 3] = np.nan
    assert _raises(DataError, lambda: make_index(broken)), "NaN in the vectors must be refused"
    assert _raises(DataError, lambda: index.search(broken[3:4], 1)), "NaN in a query: the same"
    narrow = queries[:, :-1]
    assert _raises(DataError, lambda: index.search(narrow, 1)), "another width must be refused"
    assert _raises(ConfigError, lambda: index.search(queries, 0)), "k = 0 must be refused"
    rows, scores = make_index(vectors[:0]).search(queries, 3)
    assert rows.shape == scores.shape == (len(queries), 0), "no vectors must give no matches"


def _raises(kind: type[Exception], call: Callable[[], object]) -> bool:
    try:
        call()
    except kind:
        return True
    except Exception as other:
        raise AssertionError(f"must raise {kind.__name__}, not {other!r}") from other
    return False
