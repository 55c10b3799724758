"""Regularised canonical correlation analysis: the best linear maps into one space, closed form.

Hardoon, Szedmak & Shawe-Taylor (2004), each direction weighted by its correlation as
in Gong et al. (2014). The cosine in that space is a linear kernel between images and
texts, and a strong start for a network.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg, sparse

from visita.types import FloatArray

ROWS = 4096


def cca(
    images: FloatArray,
    texts: FloatArray,
    truth: sparse.csr_array,
    dim: int,
    *,
    image_ridge: float,
    text_ridge: float,
) -> tuple[FloatArray, FloatArray]:
    """Return maps A (d, dim) and B (e, dim) fitted on every true pair.

    Parameters
    ----------
    images, texts : float32 (n, d) and (m, e)
        Zero mean and unit variance a feature.
    truth : sparse bool (n, m)
        Which pairs there are; each counts once.
    dim : int
        Directions to keep; fewer are kept if d or e is smaller.
    image_ridge, text_ridge : float
        Added to the diagonals of the covariances, in units of one feature's variance.
    """
    pairs = truth.astype(np.float32)
    count = np.float32(pairs.sum())
    image_weights = np.asarray(pairs.sum(axis=1), dtype=np.float32) / count
    text_weights = np.asarray(pairs.sum(axis=0), dtype=np.float32) / count
    root_x = _root(images, image_weights, image_ridge)
    root_y = _root(texts, text_weights, text_ridge)
    cross = images.T @ (pairs @ texts) / count
    whitened = linalg.solve_triangular(root_x, cross, lower=True)
    whitened = linalg.solve_triangular(root_y, whitened.T, lower=True).T
    left, correlations, right = linalg.svd(whitened, full_matrices=False)
    largest = correlations[:dim]
    image_map = linalg.solve_triangular(root_x.T, left[:, :dim]) * largest
    text_map = linalg.solve_triangular(root_y.T, right[:dim].T) * largest
    return image_map.astype(np.float32), text_map.astype(np.float32)


def _root(rows: FloatArray, weights: FloatArray, ridge: float) -> FloatArray:
    # Lower Cholesky factor of the weighted covariance plus the ridge, a block of rows at a
    # time: a weighted copy of all rows would be the largest array of a training run.
    covariance = np.zeros((rows.shape[1], rows.shape[1]), np.float32)
    for start in range(0, len(rows), ROWS):
        block = rows[start : start + ROWS]
        covariance += block.T @ (block * weights[start : start + ROWS, None])
    covariance.flat[:: len(covariance) + 1] += ridge
    return np.asarray(linalg.cholesky(covariance, lower=True))
