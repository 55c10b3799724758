"""Pair features as the arrays that training reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from visita.matchers.joint import stack_columns
from visita.store.extract import PairFeatures
from visita.types import FloatArray, Recipe

ROWS = 1024
"""Rows at a time where a copy of all would be large."""


@dataclass(frozen=True)
class PairTensors:
    """Images float32 (n, views, d), texts float32 (m, e), truth sparse bool (n, m)."""

    images: FloatArray
    texts: FloatArray
    truth: sparse.csr_array

    @classmethod
    def of(cls, features: PairFeatures, recipe: Recipe) -> Self:
        """Stack the recipe's columns and pool each text's passages."""
        truth = features.pairs.truth.tocsr()
        return cls(stack_columns(features.columns, recipe), features.texts.pooled(), truth)


def statistics(rows: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each feature, float32 (d,), of rows (n, d)."""
    mean = rows.mean(0)
    blocks = (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))
    spread = np.sqrt(sum(np.square(block - mean).sum(0) for block in blocks) / len(rows))
    # A feature that is constant here may change in use; divided by nearly nothing, it
    # would drown all others.
    return mean, np.where(spread > 1e-6, spread, np.float32(1))


def standardised(rows: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    """Return (rows - mean) / scale, holding one copy of the rows."""
    result = rows - mean
    result /= scale
    return result
