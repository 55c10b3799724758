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

_NAMES = {
    "alignment": ("align", "centred_alignment"),
    "approximate": ("NystroemMap", "RandomMap", "approximation_error"),
    "easymkl": ("easy_mkl",),
    "estimators": ("AlignmentMKL", "EasyMKL", "SimpleMKL", "UniformMKL"),
    "functions": ("Combination", "Kernel", "Product"),
    "gram": ("centre", "check_gram", "unit_diagonal", "variance"),
    "pairs": ("Columns", "MatchPairs", "Space", "pair_columns", "pair_kernels", "sample_pairs"),
    "selection": ("Selection", "Trial", "select"),
    "simplemkl": ("MKLSolution", "simple_mkl"),
}
_MODULES = {name: f"visita.kernels.{module}" for module, names in _NAMES.items() for name in names}
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
