"""Pair features as the arrays that training reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from scipy import sparse

from visita.features.extract import PairFeatures
from visita.matchers.joint import stack_columns
from visita.types import FloatArray, Recipe


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
