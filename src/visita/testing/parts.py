"""Checks of losses and of engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.errors import ConfigError, DataError
from visita.gallery.engines import Index
from visita.testing.encoders import raises
from visita.types import FloatArray


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
    assert raises(DataError, lambda: make_index(broken)), "NaN in the vectors must be refused"
    assert raises(DataError, lambda: index.search(broken[3:4], 1)), "NaN in a query: the same"
    narrow = queries[:, :-1]
    assert raises(DataError, lambda: index.search(narrow, 1)), "another width must be refused"
    assert raises(ConfigError, lambda: index.search(queries, 0)), "k = 0 must be refused"
    rows, scores = make_index(vectors[:0]).search(queries, 3)
    assert rows.shape == scores.shape == (len(queries), 0), "no vectors must give no matches"
