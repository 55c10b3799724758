"""Past articles as a second kernel, beside the matcher's own similarity.

Eqs. 7 and 8 of the fusion paper follow the one nearest past text. Here the nearest few
vote, each as it is like the article: k(article, picture) = Σ_j a_j ⟨u_j, picture⟩, a
softmax over their cosines and u_j the vectors of their pictures. It is linear in the
picture, so the kernel and its weighted sum with the matcher's own are one vector an
article, which any gallery is searched with. ``docs/results/recommendation.md`` measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from visita.brief import Brief
from visita.evaluation.blocks import Truth, dot_blocks
from visita.evaluation.intervals import Difference, components, paired_difference
from visita.evaluation.ranks import Ranks, best_ranks, hits
from visita.evaluation.retrieval import CUTOFFS, recall_sum
from visita.gallery.exact import ExactIndex
from visita.types import FloatArray

NEIGHBOURS = 30
TEMPERATURE = 0.1
"""Of the softmax over cosines. Both constants were chosen on Flickr8k's dev split."""
WEIGHTS = (0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
"""What the weight of the past is chosen from."""


@dataclass(frozen=True, eq=False, repr=False)
class PastArticles(Brief):
    """Texts of the past and the picture that each had.

    Attributes
    ----------
    texts : float32 (p, d)
        Unit vectors of a topic model, or zero.
    pictures : int64 (p,)
        Row of ``images``, as from ``past_pictures``.
    images : float32 (i, e)
        Vectors of a matcher.
    neighbours : int
        How many past texts are followed.
    """

    texts: FloatArray
    pictures: NDArray[np.int64]
    images: FloatArray
    neighbours: int = NEIGHBOURS

    @cached_property
    def _index(self) -> ExactIndex:
        return ExactIndex(self.texts)

    def nearest(self, articles: FloatArray) -> tuple[NDArray[np.int64], FloatArray, FloatArray]:
        """Return the past texts nearest to each article, with cosines and shares.

        Parameters
        ----------
        articles : float32 (m, d)
            Of the same topic model; an article of no known word is zero.

        Returns
        -------
        rows : int64 (m, s)
            At most ``neighbours``, best first.
        cosines, shares : float32 (m, s)
            Shares have sum 1, or are all 0 where nothing past is like the article.
        """
        rows, cosines = self._index.search(articles, self.neighbours)
        shares = np.exp((cosines - cosines[:, :1]) / TEMPERATURE)
        shares /= shares.sum(axis=1, keepdims=True)
        return rows, cosines, np.asarray(shares * (cosines[:, :1] > 0), np.float32)

    def vectors(self, articles: FloatArray) -> FloatArray:
        """Return the vector of each article that gives the past's kernel, float32 (m, e).

        At most of length 1: the less, the less the pictures are like each other.
        """
        rows, _, shares = self.nearest(articles)
        found = [s @ self.images[self.pictures[r]] for r, s in zip(rows, shares, strict=True)]
        return np.array(found, np.float32)


def combine(direct: FloatArray, past: FloatArray, weight: float) -> FloatArray:
    """Return the vectors of the weighted sum of both kernels, float32 (m, e) or (e,).

    ``weight`` is the past's, 0 to 1; of an article that is like nothing past, it is 0.
    """
    weights = weight * past.any(axis=-1, keepdims=True)
    return np.asarray((1 - weights) * direct + weights * past, np.float32)


def choose_weight(direct: FloatArray, past: FloatArray, images: FloatArray, truth: Truth) -> float:
    """Return the weight of the past with the best sum of R@1, R@5 and R@10, the least of equals.

    Parameters
    ----------
    direct, past : float32 (m, e)
        Vectors of articles that are not in the past.
    images : float32 (n, e)
        All are ranked for each article.
    truth : csr bool (n, m)
    """

    def recall(weight: float) -> float:
        ranks = _ranks(combine(direct, past, weight), images, truth)
        return recall_sum(ranks)

    return max(WEIGHTS, key=recall)


def cross_fitted_ranks(
    direct: FloatArray, past: FloatArray, images: FloatArray, truth: Truth, *, seed: int
) -> Ranks:
    """Return the rank of each article's picture by both kernels, int64 (m, 3).

    The weight for one half of the images' articles is chosen on the other; all images are
    ranked. Parameters are those of ``choose_weight``.
    """
    groups = components(truth).texts
    first = np.random.default_rng(seed).permutation(groups.max() + 1) % 2 == 0
    ranks = np.empty((len(direct), 3), np.int64)
    for half in (first[groups], ~first[groups]):
        weight = choose_weight(direct[~half], past[~half], images, truth[:, ~half])
        ranks[half] = _ranks(combine(direct[half], past[half], weight), images, truth[:, half])
    return ranks


def cross_fitted_gain(
    direct: FloatArray, past: FloatArray, images: FloatArray, truth: Truth, *, seed: int
) -> Difference:
    """Return how many points of R@10 the past adds to the matcher alone, weights cross-fitted."""
    both = cross_fitted_ranks(direct, past, images, truth, seed=seed)
    ranks = np.stack([_ranks(direct, images, truth), both])
    found = 100 * hits(ranks, [max(CUTOFFS)])[..., 0]
    owners = np.unique(components(truth).texts, return_inverse=True)[1]
    return paired_difference(found[0], found[1], owners, seed=seed)


def _ranks(articles: FloatArray, images: FloatArray, truth: Truth) -> Ranks:
    return best_ranks(dot_blocks(articles, images), truth.T.tocsr())
