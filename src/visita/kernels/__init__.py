"""Kernels: functions and Gram matrices, learning their weights, finite approximations.

Searching needs little of it: what is listed here is imported on first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from visita.registry import Registry

if TYPE_CHECKING:
    from visita.kernels.alignment import align, centred_alignment
    from visita.kernels.approximate import NystroemMap, RandomMap, approximation_error
    from visita.kernels.easymkl import easy_mkl
    from visita.kernels.estimators import AlignmentMKL, EasyMKL, SimpleMKL, UniformMKL
    from visita.kernels.functions import Combination, Kernel, Product
    from visita.kernels.gram import centre, check_gram, unit_diagonal, variance
    from visita.kernels.pairs import (
        Columns,
        MatchPairs,
        Space,
        pair_columns,
        pair_kernels,
        sample_pairs,
    )
    from visita.kernels.selection import Selection, Trial, select
    from visita.kernels.simplemkl import MKLSolution, simple_mkl

KERNELS = Registry(
    "kernel",
    {
        "linear": "sklearn.metrics.pairwise:linear_kernel",
        "cosine": "sklearn.metrics.pairwise:cosine_similarity",
        "polynomial": "sklearn.metrics.pairwise:polynomial_kernel",
        "rbf": "sklearn.metrics.pairwise:rbf_kernel",
        "laplacian": "sklearn.metrics.pairwise:laplacian_kernel",
        "chi2": "sklearn.metrics.pairwise:chi2_kernel",
        "intersection": "visita.kernels.functions:intersection",
    },
)
"""Functions of rows x (n, d) and y (m, d), or None for x again, that give a Gram matrix (n, m)."""

_MODULES = {
    "AlignmentMKL": "visita.kernels.estimators",
    "Columns": "visita.kernels.pairs",
    "Combination": "visita.kernels.functions",
    "EasyMKL": "visita.kernels.estimators",
    "Kernel": "visita.kernels.functions",
    "MKLSolution": "visita.kernels.simplemkl",
    "MatchPairs": "visita.kernels.pairs",
    "NystroemMap": "visita.kernels.approximate",
    "Product": "visita.kernels.functions",
    "RandomMap": "visita.kernels.approximate",
    "Selection": "visita.kernels.selection",
    "SimpleMKL": "visita.kernels.estimators",
    "Space": "visita.kernels.pairs",
    "Trial": "visita.kernels.selection",
    "UniformMKL": "visita.kernels.estimators",
    "align": "visita.kernels.alignment",
    "approximation_error": "visita.kernels.approximate",
    "centre": "visita.kernels.gram",
    "centred_alignment": "visita.kernels.alignment",
    "check_gram": "visita.kernels.gram",
    "easy_mkl": "visita.kernels.easymkl",
    "pair_columns": "visita.kernels.pairs",
    "pair_kernels": "visita.kernels.pairs",
    "sample_pairs": "visita.kernels.pairs",
    "select": "visita.kernels.selection",
    "simple_mkl": "visita.kernels.simplemkl",
    "unit_diagonal": "visita.kernels.gram",
    "variance": "visita.kernels.gram",
}

__all__ = [
    "KERNELS",
    "AlignmentMKL",
    "Columns",
    "Combination",
    "EasyMKL",
    "Kernel",
    "MKLSolution",
    "MatchPairs",
    "NystroemMap",
    "Product",
    "RandomMap",
    "Selection",
    "SimpleMKL",
    "Space",
    "Trial",
    "UniformMKL",
    "align",
    "approximation_error",
    "centre",
    "centred_alignment",
    "check_gram",
    "easy_mkl",
    "pair_columns",
    "pair_kernels",
    "sample_pairs",
    "select",
    "simple_mkl",
    "unit_diagonal",
    "variance",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'visita.kernels' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
