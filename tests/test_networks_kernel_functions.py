"""Which kernels of the kernel layer are positive definite: eigenvalues of their Gram matrices."""

from __future__ import annotations

import numpy as np
import pytest

from visita.networks.kernel_functions import FAMILIES, NUMPY, kernel

DEFINITE = [
    ("linear", 1),
    *(("polynomial", degree) for degree in (1, 2, 3, 8)),
    *((family, gamma) for family in ("rbf", "laplacian") for gamma in (0.5, 2, 8)),
]


def cosines(dim: int) -> np.ndarray:
    """Return the cosines of 200 random directions, some of them nearly the same."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(200, dim))
    vectors[100:] = vectors[:100] + 0.1 * rng.normal(size=(100, dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.clip(vectors @ vectors.T, -1, 1)


@pytest.mark.parametrize("dim", [2, 64])
@pytest.mark.parametrize("family, parameter", DEFINITE)
def test_the_functions_are_positive_definite_between_unit_vectors(family, parameter, dim):
    gram = FAMILIES[family](cosines(dim), float(parameter), NUMPY)
    # The Laplacian is held off its kink, which takes up to this off the diagonal.
    blunted = 1 - np.exp(-parameter * 1e-2) if family == "laplacian" else 0
    assert np.linalg.eigvalsh(gram).min() >= -blunted - 1e-9


@pytest.mark.parametrize("dim", [2, 64])
@pytest.mark.parametrize("family, parameter", DEFINITE)
def test_those_of_the_layer_are_so_once_they_are_centred(family, parameter, dim):
    gram = kernel(f"{family}:{parameter}", NUMPY)(cosines(dim))
    centred = gram - gram.mean(0) - gram.mean(1)[:, None] + gram.mean()
    lowest, highest = np.exp(-2.0 * parameter), 1.0
    blunted = 2 * (1 - np.exp(-parameter * 1e-2)) / (highest - lowest) * (family == "laplacian")
    assert np.linalg.eigvalsh(centred).min() >= -blunted - 1e-9


def test_those_of_the_layer_are_not_as_they_are():
    random = np.random.default_rng(0).normal(size=(200, 64))
    random /= np.linalg.norm(random, axis=1, keepdims=True)
    least = np.linalg.eigvalsh(kernel("rbf:2", NUMPY)(np.clip(random @ random.T, -1, 1))).min()
    assert -190 < least < -170


def test_a_polynomial_of_a_broken_degree_is_not_positive_definite():
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    circle = np.cos(angles[:, None] - angles)
    gram = FAMILIES["polynomial"](circle, 0.5, NUMPY)
    assert np.linalg.eigvalsh(gram).min() < -0.1
