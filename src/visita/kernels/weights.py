"""Weights of several similarities, and the one vector that a weighted sum of them needs.

Weights are learnt from which images and texts belong together. Each true pair is two choices: its
image among all images, its text among all texts, each with probability softmax(Σ_k w_k s_k) over
the pair and whatever is not true (the conditional logit of McFadden, 1974; as a loss, symmetric
InfoNCE). The loss is convex in w ≥ 0, so one w is best: beta = w / Σw are the weights, and
1 / Σw is the temperature.

Sum_k beta_k <a_k, b_k> is the inner product of the vectors sqrt(beta_k) a_k laid end to end, which
may be made shorter again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize, special

from visita.errors import DataError
from visita.types import FloatArray


def second_moments(blocks: Iterable[FloatArray]) -> FloatArray:
    """Return the mean over all rows x of x xᵀ, (d, d), from blocks (b, d) of them."""
    total, count = np.zeros((), np.float32), 0
    for block in blocks:
        total, count = total + block.T @ block, count + len(block)
    return np.asarray(total / np.float32(count))


def reduction(images: FloatArray, texts: FloatArray, dim: int) -> FloatArray:
    """Return P (d, dim), orthonormal columns, so that <xP, yP> is near <x, y>.

    The columns span the leading directions of both sides together (SVD of the two
    second-moment matrices' sum, each side counted alike).

    Parameters
    ----------
    images, texts : float32 (d, d)
        Each side's ``second_moments``.
    """
    moments = images + texts
    size = len(moments)
    _, vectors = linalg.eigh(moments, subset_by_index=(max(0, size - dim), size - 1))
    return np.ascontiguousarray(vectors[:, ::-1], dtype=np.float32)


Values = NDArray[np.float64]
SPREAD = 30.0
"""Standard deviation of the normal prior on each w: faint beside ten pairs, but pairs that can be
told apart without a mistake would otherwise ask for an infinite one."""
START = 20.0
"""Sum of w at the start, a temperature of 0.05."""
STEP = 0.01
"""Of the finite differences, as a share of Σw: larger would curve, smaller round."""


@dataclass(frozen=True, eq=False)
class Choices:
    """What weights are learnt from: similarities, and the pairs to learn.

    Attributes
    ----------
    similarities : float32 (k, n, m)
        Of k kernels, n images and m texts.
    truth : csr bool (n, m)
        All that belongs together: what is true for a query is no rival of what else is.
    learnt : bool (n,)
        Whose pairs count. The others remain among what is chosen from.

    Raises
    ------
    DataError
        If no pair is to be learnt, or something belongs to everything.
    """

    similarities: FloatArray
    truth: Any
    learnt: NDArray[np.bool_]

    def __post_init__(self) -> None:
        images, texts = self.truth.shape
        most = (
            np.diff(self.truth.indptr).max(initial=0),
            np.bincount(self.truth.indices).max(initial=0),
        )
        if most[0] == texts or most[1] == images or not len(self._pairs()[0]):
            raise DataError(
                "Weights are learnt from pairs that have something to be told from; give more "
                "images with texts of their own."
            )

    def fit(self) -> Values:
        """Return w, float64 (k,), not negative."""
        kernels = len(self.similarities)
        optimum = optimize.minimize(
            self._loss,
            np.full(kernels, START / kernels),
            jac=True,
            method="L-BFGS-B",
            bounds=[(0, None)] * kernels,
            options={"ftol": 1e-8},
        )
        return np.asarray(optimum.x, np.float64)

    def resampled(
        self, w: Values, groups: NDArray[np.int64], *, seed: int, resamples: int
    ) -> Values:
        """Return what ``fit`` would have found on images drawn again, float64 (resamples, k).

        One Newton step from ``w`` each, the curvature that of all pairs (the one-step, or
        score, bootstrap): first-order equal to fitting again, and done in a second.

        Parameters
        ----------
        w : float64 (k,)
            What ``fit`` found.
        groups : int64 (n,)
            Images of one group are drawn together, with their texts.
        """
        slopes = self._slopes(w, groups)
        counts = np.random.default_rng(seed).multinomial(
            len(slopes), np.full(len(slopes), 1 / len(slopes)), size=resamples
        )
        gradients = counts @ slopes + w / SPREAD**2
        curvatures, directions = linalg.eigh(self._curvature(w))
        # Kernels that are alike leave a direction without curvature but the prior's.
        roots = np.sqrt(np.maximum(curvatures, 1 / SPREAD**2))
        targets = roots * (w @ directions) - gradients @ directions / roots
        matrix = roots[:, None] * directions.T
        return np.array([optimize.nnls(matrix, target)[0] for target in targets])

    def _pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        images, texts = self.truth.nonzero()
        learnt = self.learnt[images]
        return images[learnt], texts[learnt]

    def _loss(self, w: Values) -> tuple[float, Values]:
        """Return the mean loss of a pair, the prior's share included, and its gradient."""
        (of_images, of_texts), true = self._sides(w)
        flat = self.similarities.reshape(len(w), -1)
        gradient = flat @ (of_images.pull + of_texts.pull).ravel()
        gradient = gradient - true @ (of_images.missed + of_texts.missed) + w / SPREAD**2
        loss = of_images.loss + of_texts.loss + w @ w / (2 * SPREAD**2)
        return loss / true.shape[1], gradient / true.shape[1]

    def _curvature(self, w: Values) -> Values:
        """Return the Hessian of the sum of losses, (k, k), by central differences."""
        step = STEP * w.sum()
        steps = step * np.eye(len(w))
        rows = [self._loss(w + change)[1] - self._loss(w - change)[1] for change in steps]
        hessian = np.array(rows) * len(self._pairs()[0]) / (2 * step)
        return np.asarray((hessian + hessian.T) / 2)

    def _slopes(self, w: Values, groups: NDArray[np.int64]) -> Values:
        """Return the gradient of each group's losses, float64 (groups, k)."""
        (of_images, of_texts), true = self._sides(w)
        images, texts = self._pairs()
        owners, count = np.zeros(self.truth.shape[1], np.int64), groups.max() + 1
        owners[texts] = groups[images]
        missed = of_images.missed + of_texts.missed
        slopes = [
            np.bincount(groups, np.einsum("nm,nm->n", of_images.pull, similarity), count)
            + np.bincount(owners, np.einsum("nm,nm->m", of_texts.pull, similarity), count)
            - np.bincount(groups[images], missed * of_pairs, count)
            for similarity, of_pairs in zip(self.similarities, true, strict=True)
        ]
        return np.stack(slopes, axis=1)

    def _sides(self, w: Values) -> tuple[tuple[_Side, _Side], Values]:
        """Return both directions' choices, and the pairs' similarities, float64 (k, pairs)."""
        images, texts = self._pairs()
        true = self.similarities[:, images, texts].astype(np.float64)
        scores = np.tensordot(w.astype(np.float32), self.similarities, 1)
        scores[self.truth.nonzero()] = -np.inf
        chosen = w @ true
        return (_side(scores, chosen, images, 1), _side(scores, chosen, texts, 0)), true


@dataclass(frozen=True, eq=False)
class _Side:
    """One direction's choices.

    Attributes
    ----------
    loss : float
        Sum over the pairs.
    missed : float64 (pairs,)
        Probability that something else is chosen.
    pull : float32 (n, m)
        That probability, spread over what would be, and summed over the query's pairs.
    """

    loss: float
    missed: Values
    pull: FloatArray


def _side(scores: FloatArray, chosen: Values, queries: NDArray[np.int64], axis: int) -> _Side:
    """Let each pair's query choose along ``axis``; scores of what is true are -inf."""
    top = scores.max(axis, keepdims=True)
    pull = np.exp(scores - top)
    total = pull.sum(axis, keepdims=True)
    behind = (np.log(total) + top).ravel()[queries] - chosen
    missed = special.expit(behind)
    sums = np.bincount(queries, missed, total.size).reshape(total.shape)
    pull *= (sums / total).astype(np.float32)
    return _Side(float(np.logaddexp(0, behind).sum()), missed, pull)
