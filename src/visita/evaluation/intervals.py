"""Intervals and paired tests: the bootstrap over groups that share no truth.

A test split is a sample of pictures, so pictures are what is drawn again. An image
brings its texts along, and images that share a text stay together: the unit is the
connected component of the truth (with texts of their own, one image each). Ranks
are computed once, against the whole gallery; only their weights change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from visita.data.pairs import label_components
from visita.errors import DataError
from visita.evaluation.blocks import Truth

Values = NDArray[np.float64]
Statistic = Callable[[Values], Values]
"""How often each group is drawn, (r, groups) → values of k metrics, (r, k)."""

RESAMPLES = 1000
_ROWS = 100  # resamples at a time: 100 × 25,000 texts are 20 MB


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its 95 % interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        """Return the fields by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference(Estimate):
    """A difference with its 95 % interval and the two-sided bootstrap p-value of 'none'."""

    p_value: float


@dataclass(frozen=True, slots=True)
class Groups:
    """The connected components of a truth.

    Attributes
    ----------
    images : int64 (n,)
        The component of each image.
    texts : int64 (m,)
        The component of each text.
    count : int
        How many there are.
    """

    images: NDArray[np.int64]
    texts: NDArray[np.int64]
    count: int


def components(truth: Truth) -> Groups:
    """Return which images and texts hang together through ``truth``, csr bool (n, m)."""
    images, texts = label_components(truth)
    return Groups(images, texts, int(max(images.max(), texts.max())) + 1)


def estimates(
    statistic: Statistic, groups: int, *, seed: int, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Return each metric with its 95 % percentile interval over resampled groups.

    Raises
    ------
    DataError
        If there are fewer than two groups, so that nothing varies.
    """
    return _intervals(*_bootstrap(statistic, groups, seed, resamples))


def mean_estimates(
    parts: Sequence[tuple[Statistic, int]], *, seed: int, resamples: int = RESAMPLES
) -> list[Estimate]:
    """Return the mean over parts of a sample, each a statistic with its number of groups.

    Each part is resampled on its own, so that its size stays.

    Raises
    ------
    DataError
        As ``estimates``, for any part.
    """
    runs = [
        _bootstrap(statistic, groups, (seed, part), resamples)
        for part, (statistic, groups) in enumerate(parts)
    ]
    values, draws = zip(*runs, strict=True)
    return _intervals(np.mean(values, axis=0), np.mean(draws, axis=0))


def differences(
    statistic: Statistic, groups: int, *, seed: int, resamples: int = RESAMPLES
) -> list[Difference]:
    """Return the metrics of a ``statistic`` that is itself a difference, with p-values.

    The p-value is twice the share of resamples on the far side of zero, the
    observed difference counted as one of them; it agrees with the interval.

    Raises
    ------
    DataError
        As ``estimates``.
    """
    value, draws = _bootstrap(statistic, groups, seed, resamples)
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    tail = np.minimum((draws <= 0).sum(axis=0), (draws >= 0).sum(axis=0))
    p_value = np.minimum(1, 2 * (tail + 1) / (len(draws) + 1))
    return [Difference(*map(float, row)) for row in zip(value, low, high, p_value, strict=True)]


def paired_difference(
    values_a: Values,
    values_b: Values,
    groups: NDArray[np.int64],
    *,
    seed: int,
    resamples: int = RESAMPLES,
) -> Difference:
    """Compare two systems on the same queries: the mean of ``values_b - values_a``.

    Parameters
    ----------
    values_a, values_b : float64 (q,)
        One value a query, such as 100 for a hit and 0 for a miss.
    groups : int64 (q,)
        The group of each query, 0 … g - 1; queries of one group are drawn together.

    Raises
    ------
    DataError
        If the three do not have the same length, or as ``estimates``.
    """
    if not len(values_a) == len(values_b) == len(groups) > 0:
        raise DataError(
            f"{len(values_a)} and {len(values_b)} values in {len(groups)} groups cannot be "
            "compared; measure both systems on the same queries."
        )
    [result] = differences(
        mean_statistic(np.asarray(values_b) - values_a, groups),
        int(groups.max()) + 1,
        seed=seed,
        resamples=resamples,
    )
    return result


def mean_statistic(values: Values, groups: NDArray[np.int64]) -> Statistic:
    """Return the statistic that is the mean of ``values``, (q,) or (q, k), over the queries.

    ``groups`` int64 (q,) says whose each query is.
    """
    sums, counts = group_sums(values, groups), np.bincount(groups)
    return lambda weights: weights @ sums / (weights @ counts)[:, None]


def over_draws(statistics: Sequence[Statistic]) -> Statistic:
    """Return what is the mean over draws for a sample as it is, and one draw's for a resample.

    So an interval holds the spread between draws; and two systems that are compared on the same
    resamples have the same draw in each.
    """

    def statistic(weights: Values) -> Values:
        if (weights == 1).all():
            means: Values = np.mean([of_draw(weights) for of_draw in statistics], axis=0)
            return means
        turns = np.arange(len(weights)) % len(statistics)
        values = [of_draw(weights[turns == draw]) for draw, of_draw in enumerate(statistics)]
        order = np.argsort(np.argsort(turns, kind="stable"))
        return np.asarray(np.concatenate(values)[order])

    return statistic


def group_sums(values: Values, groups: NDArray[np.int64], count: int = 0) -> Values:
    """Sum ``values``, (q,) or (q, k), over the queries of each group → float64 (g, k)."""
    columns = np.reshape(values, (len(groups), -1)).T
    return np.stack([np.bincount(groups, column, count) for column in columns], axis=1)


def weighted_medians(values: Values, groups: NDArray[np.int64]) -> Statistic:
    """Return the statistic that is the median of ``values`` (q,) over the drawn queries.

    Equal to ``np.median`` with each query repeated as often as its group was drawn.
    """
    order = np.argsort(values, kind="stable")
    ranked, owners = values[order], groups[order]

    def statistic(weights: Values) -> Values:
        drawn = np.cumsum(weights[:, owners], axis=1)
        total = drawn[:, -1:]
        lower = (drawn > np.floor((total - 1) / 2)).argmax(axis=1)
        upper = (drawn > np.floor(total / 2)).argmax(axis=1)
        return np.asarray((ranked[lower] + ranked[upper])[:, None] / 2)

    return statistic


def _intervals(value: Values, draws: Values) -> list[Estimate]:
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    return [Estimate(*map(float, row)) for row in zip(value, low, high, strict=True)]


def _bootstrap(
    statistic: Statistic, groups: int, seed: int | tuple[int, int], resamples: int
) -> tuple[Values, Values]:
    if groups < 2:
        raise DataError(
            "An interval needs two images or more that share no text (or two keywords); "
            "measure on more of them."
        )
    value = statistic(np.ones((1, groups)))[0]
    draws = [statistic(weights) for weights in _weights(groups, seed, resamples)]
    return value, np.concatenate(draws)


def _weights(groups: int, seed: int | tuple[int, int], resamples: int) -> Iterator[Values]:
    # As many groups as there are, with replacement: multinomial counts, by bincount.
    rng = np.random.default_rng(seed)
    for start in range(0, resamples, _ROWS):
        rows = min(_ROWS, resamples - start)
        drawn = rng.integers(groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * groups)
        yield counts.reshape(rows, groups).astype(np.float64)
