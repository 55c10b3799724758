"""Past articles as a second kernel, beside the matcher's own similarity.

Eqs. 7 and 8 of the fusion paper follow the one nearest past text. Here the nearest few
vote, each as it is like the article: k(article, picture) = Σ_j a_j ⟨u_j, picture⟩, a
softmax over their cosines and u_j the vectors of their pictures. It is linear in the
picture, so the kernel and its weighted sum with the matcher's own are one vector an
article, which any gallery is searched with. ``docs/results/recommendation.md`` measures it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from visita.brief import Brief
from visita.data import Data, PairSet, open_pairs
from visita.encoders.topics.lsa import LSA
from visita.encoders.topics.model import most_topics
from visita.evaluation import fit_calibration
from visita.evaluation.blocks import Truth, dot_blocks
from visita.evaluation.intervals import Difference, components, paired_difference
from visita.evaluation.ranks import Ranks, best_ranks, hits
from visita.evaluation.retrieval import CUTOFFS, recall_sum
from visita.gallery.engines import ExactIndex
from visita.matchers.probability import Calibrated
from visita.progress import report_skipped
from visita.search.collaborative import past_pictures
from visita.search.finder import Finder, finder_of
from visita.search.passages import text_vectors
from visita.store.extract import pair_features, text_features
from visita.types import FloatArray, Judge, Matcher

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
        vectors = [s @ self.images[self.pictures[r]] for r, s in zip(rows, shares, strict=True)]
        return np.array(vectors, np.float32)


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
    combined = cross_fitted_ranks(direct, past, images, truth, seed=seed)
    ranks = np.stack([_ranks(direct, images, truth), combined])
    recalls = 100 * hits(ranks, [max(CUTOFFS)])[..., 0]
    owners = np.unique(components(truth).texts, return_inverse=True)[1]
    return paired_difference(recalls[0], recalls[1], owners, seed=seed)


def _ranks(articles: FloatArray, images: FloatArray, truth: Truth) -> Ranks:
    return best_ranks(dot_blocks(articles, images), truth.T.tocsr())


TOPICS = 500
"""As in the fusion paper; fewer where the texts have a lower rank."""
LEAST_IMAGES = 50
"""Dev images that weight and probability are learnt from; with fewer, neither is."""
MOST_IMAGES = 1000
UNLEARNT_WEIGHT = 0.2
"""Where nothing is known: it costs a point or two of R@10 on Flickr8k, which the shipped matcher
was trained on, and gains many where articles turn on names; ``docs/results/recommendation.md``."""


@dataclass(frozen=True, slots=True, repr=False)
class Precedent(Brief):
    """A past article that speaks for a picture, as its own picture is like it.

    Attributes
    ----------
    image_id : str
        What the pairs call the article's picture.
    picture : Path
        Its file.
    text : str
        The article.
    likeness : float
        Cosine of its topics and the new article's.
    """

    image_id: str
    picture: Path
    text: str
    likeness: float


@dataclass(frozen=True, eq=False, repr=False)
class Past(Brief):
    """What past articles teach about which picture goes with a text; see ``learn``.

    Attributes
    ----------
    pairs : PairSet
        Row by row those of ``articles``.
    topics : LSA
    articles : PastArticles
    judge : Judge
        The matcher, or what gives the probability of the combined score.
    weight : float
        Of the past, 0 to 1; the rest is the matcher's own.
    learnt_on : int
        Articles of the dev split that weight and probability were learnt on; 0 if neither was.
    gain : Difference or None
        Points of R@10 over the matcher alone on these articles, weights cross-fitted.

    Examples
    --------
    >>> past = visita.Past.learn("visita-small", "folder:mypairs")
    >>> best, *_ = visita.recommend("mypairs", "A red circle was drawn.", k=1, past=past)
    >>> best.precedent.text in past.pairs.texts
    True
    """

    pairs: PairSet
    topics: LSA
    articles: PastArticles
    judge: Judge
    weight: float = UNLEARNT_WEIGHT
    learnt_on: int = 0
    gain: Difference | None = None

    @classmethod
    def learn(
        cls,
        matcher: Finder | Matcher | str | Path,
        data: Data,
        *,
        features: str | Path | None = None,
        seed: int = 0,
    ) -> Self:
        """Learn from pairs of articles and pictures; each picture is read once.

        Topics are fitted on all texts but dev's; dev chooses the weight and fits the
        probability. With fewer than 50 dev images the weight is 0.2 and the probability is
        the matcher's own; of a matcher with two stages, only the first is used. Pictures
        that cannot be read are reported on stderr and left out, with their articles.

        Raises
        ------
        DataError
            If no picture could be read, or no word occurs in two texts.
        MissingExtraError
            If texts are Chinese and jieba is not installed.
        """
        finder = finder_of(matcher)
        pairs = open_pairs(data, seed=seed)
        report_skipped(pairs.problems)
        pairs = pairs.subset(np.flatnonzero(np.diff(pairs.truth.indptr)))
        topics = _fit_topics([pairs.texts[row] for row in _old(pairs)], seed)
        first = finder.matcher.retriever
        past_features = pair_features(pairs, first.recipe, topics, features)
        articles = PastArticles(
            past_features.texts.vectors,
            past_pictures(past_features.pairs.truth),
            first.embed_images(past_features.columns),
        )
        past = cls(past_features.pairs, topics, articles, first)
        # Asked again, as dev may have lost pictures.
        learns = len(_old(past_features.pairs)) < len(past_features.pairs.texts)
        return past._taught(finder, features, seed) if learns else past

    def _taught(self, finder: Finder, features: str | Path | None, seed: int) -> Self:
        """Return the same with weight and probability learnt on dev; the rest is its past."""
        matcher, old = finder.matcher, _old(self.pairs)
        images = np.flatnonzero(self.pairs.image_split == "dev")
        if len(images) > MOST_IMAGES:
            drawn = np.random.default_rng(seed).choice(images, MOST_IMAGES, replace=False)
            images = np.sort(drawn)
        dev = self.pairs.subset(images)
        texts, encoder = dev.texts, finder.texts
        direct = text_vectors(
            texts, lambda part: matcher.embed_texts(text_features(part, encoder, features))
        )
        before = replace(
            self.articles, texts=self.articles.texts[old], pictures=self.articles.pictures[old]
        )
        past = before.vectors(text_vectors(texts, self._topics_of))
        vectors, truth = self.articles.images[images], dev.truth.tocsr()
        weight = choose_weight(direct, past, vectors, truth)
        combined = combine(direct, past, weight)
        calibration = fit_calibration(vectors, combined, truth, seed=seed)
        return replace(
            self,
            judge=Calibrated(name=matcher.name, calibration=calibration),
            weight=weight,
            learnt_on=len(texts),
            gain=cross_fitted_gain(direct, past, vectors, truth, seed=seed),
        )

    def advise(self, article: str) -> Advice:
        """Return what the past says about an article."""
        rows, likeness, shares = self.articles.nearest(text_vectors([article], self._topics_of))
        return Advice(self, rows[0], likeness[0], shares[0])

    def _topics_of(self, texts: Sequence[str]) -> FloatArray:
        return self.topics.encode(texts).vectors


@dataclass(frozen=True, eq=False, repr=False)
class Advice(Brief):
    """The past articles nearest to one article: rows, likeness and shares, (s,) each."""

    past: Past
    rows: NDArray[np.int64]
    likeness: FloatArray
    shares: FloatArray

    def combine(self, direct: FloatArray) -> FloatArray:
        """Return the vector (d,) of the sum of both kernels, ``direct`` being the matcher's."""
        return combine(direct, self.shares @ self._pictures(), self.past.weight)

    def precedent(self, picture: FloatArray) -> Precedent | None:
        """Return what speaks most for the picture of vector (d,), or None if nothing does."""
        says = self.past.weight * self.shares * (self._pictures() @ picture)
        best = int(says.argmax())
        if says[best] <= 0:
            return None
        row, pairs = self.rows[best], self.past.pairs
        image = self.past.articles.pictures[row]
        return Precedent(
            pairs.image_ids[image],
            pairs.image_paths[image],
            pairs.texts[row],
            float(self.likeness[best]),
        )

    def _pictures(self) -> FloatArray:
        return self.past.articles.images[self.past.articles.pictures[self.rows]]


def _old(pairs: PairSet) -> NDArray[np.int64]:
    """Return the texts outside dev, or all if dev is too small to learn from or is everything."""
    enough = LEAST_IMAGES <= pairs.splits()["dev"] < len(pairs.image_ids)
    return np.flatnonzero((pairs.text_split != "dev") | (not enough))


def _fit_topics(texts: Sequence[str], seed: int) -> LSA:
    return most_topics(lambda topics: LSA.fit(texts, topics, seed), TOPICS)
