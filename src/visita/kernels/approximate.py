"""Finite feature maps φ with <φ(x), φ(z)> near k(x, z): past Gram matrices, and into an index.

Nyström (Williams & Seeger, 2001) adapts to the rows and takes any kernel; random features
(Rahimi & Recht, 2007; Pham & Pagh, 2013, for polynomials) need no rows and only the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import linalg
from sklearn.kernel_approximation import Nystroem, PolynomialCountSketch, RBFSampler
from sklearn.preprocessing import normalize

from visita.brief import Brief
from visita.errors import ConfigError, DataError
from visita.kernels.functions import Combination, Kernel, Product, Rows
from visita.types import FloatArray
from visita.vectors import join

RANDOM = ("linear", "cosine", "rbf", "polynomial")
"""Kernels that random features exist for, or that are an inner product as they are."""


@dataclass(frozen=True, eq=False, repr=False)
class NystroemMap(Brief):
    """A map by the kernel's values to some of the rows.

    Attributes
    ----------
    kernel : Kernel, Product or Combination
    landmarks : float64 (components, d)
        The rows that every other is compared to.
    basis : Nystroem
        scikit-learn's, fitted on their Gram matrix.
    """

    kernel: Kernel | Product | Combination
    landmarks: NDArray[np.float64]
    basis: Any

    @classmethod
    def fit(
        cls, kernel: Kernel | Product | Combination, rows: Rows, *, components: int, seed: int
    ) -> Self:
        """Choose ``components`` of the rows (n, d) at random as landmarks.

        Raises
        ------
        ConfigError
            If that is not 1 to n.
        DataError
            If the kernel refuses the rows.
        """
        if not 1 <= components <= len(rows):
            raise ConfigError(
                f"{len(rows)} rows give 1 to {len(rows)} landmarks; not {components}."
            )
        chosen = np.random.default_rng(seed).permutation(len(rows))[:components]
        landmarks = np.asarray(rows, np.float64)[chosen]
        basis = Nystroem(kernel="precomputed", n_components=components, random_state=0)
        return cls(kernel, landmarks, basis.fit(kernel(landmarks)))

    def __call__(self, rows: Rows) -> FloatArray:
        """Return φ of the rows (q, d), float32 (q, components); raises as the kernel does."""
        return np.asarray(self.basis.transform(self.kernel(rows, self.landmarks)), np.float32)


@dataclass(frozen=True, eq=False, repr=False)
class RandomMap(Brief):
    """A map by random features; linear and cosine kernels in it are exact.

    Attributes
    ----------
    kernel : Combination
        Of linear, cosine, RBF and polynomial kernels.
    samplers : one a kernel, scikit-learn's; None where it is exact.
    """

    kernel: Combination
    samplers: tuple[Any, ...]

    @classmethod
    def fit(cls, kernel: Combination, *, width: int, components: int, seed: int) -> Self:
        """Draw ``components`` features for each RBF or polynomial kernel.

        Parameters
        ----------
        width : int
            Columns of the rows to come.

        Raises
        ------
        ConfigError
            If a kernel has no random features, or ``components`` is below 1.
        """
        if components < 1:
            raise ConfigError(f"Random features are at least 1, not {components}.")
        seeds = np.random.SeedSequence(seed).generate_state(len(kernel.kernels))
        parts = zip(kernel.kernels, seeds.tolist(), strict=True)
        return cls(
            kernel, tuple(_sampler(part, width, components, part_seed) for part, part_seed in parts)
        )

    def __call__(self, rows: Rows) -> FloatArray:
        """Return φ of the rows (q, d), float32 (q, all features); raises as the kernels do."""
        parts = [
            _features(part, sampler, rows)
            for part, sampler in zip(self.kernel.kernels, self.samplers, strict=True)
        ]
        return join(parts, self.kernel.weights)


def approximation_error(features: NystroemMap | RandomMap, rows: Rows) -> float:
    """Return ‖K - ΦΦᵀ‖ / ‖K‖ in Frobenius norm: 0 is exact, on these rows (n, d).

    Raises
    ------
    DataError
        If the kernel refuses the rows, or is zero on all of them.
    """
    exact = features.kernel(rows)
    mapped = features(rows).astype(np.float64)
    size = linalg.norm(exact)
    if not size:
        raise DataError("The kernel is zero on these rows, so no error can be shown against it.")
    return float(linalg.norm(exact - mapped @ mapped.T) / size)


def _sampler(kernel: Kernel | Product, width: int, components: int, seed: int) -> Any:
    if isinstance(kernel, Product) or kernel.function not in RANDOM:
        raise ConfigError(
            f"{kernel.name} has no random features (only {', '.join(RANDOM)} have); "
            "use NystroemMap, which takes any kernel."
        )
    if kernel.function in ("linear", "cosine"):
        return None
    read = kernel.span[1] - kernel.span[0] if kernel.span else width
    gamma = kernel.gamma or 1 / read
    settings = {"gamma": gamma, "n_components": components, "random_state": seed}
    if kernel.function == "rbf":
        sampler = RBFSampler(**settings)
    else:
        coef0 = 1.0 if kernel.coef0 is None else kernel.coef0
        sampler = PolynomialCountSketch(degree=kernel.degree or 3, coef0=coef0, **settings)
    return sampler.fit(np.zeros((1, read)))


def _features(kernel: Kernel | Product, sampler: Any, rows: Rows) -> FloatArray:
    assert isinstance(kernel, Kernel)  # no product has a sampler
    read = kernel.read(rows)
    if sampler is None:
        return np.asarray(normalize(read) if kernel.function == "cosine" else read, np.float32)
    return np.asarray(sampler.transform(read), np.float32)
