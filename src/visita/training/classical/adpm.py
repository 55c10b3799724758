"""Solving for ADPM as the image kernel of pairs, as ``visita.networks.classical.adpm`` tells.

Words of each layer by k-means over the cells of training pictures; SimpleMKL over a sample of
true and as many false pairs, one kernel a layer, each times the text kernel; the SVM's bilinear
form cut to its strongest directions.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd

from visita.features.pictures import RecipeEncoder
from visita.features.vocabulary import UNKNOWN, Vocabulary
from visita.kernels.estimators import SimpleMKL
from visita.kernels.pairs import sample_pairs
from visita.kernels.simplemkl import PAPER_TOLERANCE
from visita.networks.classical.adpm import PyramidMatching
from visita.training.classical.baseline import Validate, WordBaseline
from visita.training.classical.words import ROWS, standardise, vectors_of
from visita.training.config import LAST_GRIDS, ImageLevels
from visita.training.cross_modal import CrossTensors
from visita.training.loop import History
from visita.types import FloatArray, Tokens

CELLS = 100_000
"""Cells among which k-means looks."""


class ADPM(WordBaseline):
    """The deep pyramid matching kernel times a text kernel, weighed by SimpleMKL."""

    paper: ClassVar[str] = "Liu et al. 2016"

    closed_form: ClassVar[bool] = True

    image_levels: ImageLevels = LAST_GRIDS
    """One or more grids: the layers of the pyramid."""
    words: Annotated[int, Field(ge=2)] = 200
    """Visual words a layer."""
    pairs: Annotated[int, Field(ge=2)] = 2500
    """True pairs that the SVM learns from, beside as many false ones."""
    C: Annotated[float, Field(gt=0)] = 1.0
    """What a unit of slack costs."""
    dim: Annotated[int, Field(ge=1, le=1024)] = 256

    def learn(
        self, train: CrossTensors, dev: CrossTensors, validate: Validate, vocabulary: Vocabulary
    ) -> tuple[PyramidMatching, History]:
        """Return the network; there is nothing to repeat, so the start is the end."""
        shapes = RecipeEncoder(self.recipe()).columns().values()
        widths = [shape if isinstance(shape, int) else shape[1] for shape in shapes]
        _, cells, features = train.grids.shape
        network = PyramidMatching(
            *(cells, features),
            widths=widths,
            words=self.words,
            vocabulary=len(vocabulary),
            dim=self.dim,
        )
        standardise(network, train)
        network.centres.copy_(torch.from_numpy(self._centres(train.grids, network)))
        network.idf.copy_(torch.from_numpy(_idf(train.tokens, len(vocabulary))))
        self._solve(network, train)
        return network.eval(), History(validate(*vectors_of(network, dev)))

    def _centres(self, grids: NDArray[np.float16], network: PyramidMatching) -> FloatArray:
        rng = np.random.default_rng(self.seed)
        rows = grids.reshape(-1, grids.shape[-1])
        some = rows[np.sort(rng.permutation(len(rows))[:CELLS])].astype(np.float32)
        some = (some - network.mean.numpy()) / network.scale.numpy()
        layers = np.split(some, np.cumsum(network.widths)[:-1], axis=1)
        means = [
            MiniBatchKMeans(self.words, random_state=self.seed, batch_size=4096, n_init=1).fit(one)
            for one in layers
        ]
        return np.concatenate([one.cluster_centers_ for one in means], axis=1).astype(np.float32)

    def _solve(self, network: PyramidMatching, train: CrossTensors) -> None:
        """Set what codes and terms add, from the SVM of sampled pairs."""
        pairs = sample_pairs(train.truth, count=self.pairs, seed=self.seed)
        codes = codes_of(network, train.grids, pairs.images)
        tokens, mask = train.tokens.padded(pairs.texts)
        texts = network.tf_idf(torch.from_numpy(tokens), torch.from_numpy(mask)).numpy()
        of_texts = (texts @ texts.T).astype(np.float64)
        grams = [(layer @ layer.T) * of_texts for layer in codes]
        svm = SimpleMKL("precomputed", C=self.C, normalise=False, tolerance=PAPER_TOLERANCE)
        svm.fit(np.stack(grams, axis=-1), pairs.labels)
        dual = np.zeros(len(pairs.labels))
        dual[svm.support_] = svm.dual_coef_
        weighted = [
            weight * (layer * dual[:, None]).T @ texts
            for weight, layer in zip(svm.weights_.values(), codes, strict=True)
        ]
        form = np.concatenate(weighted).astype(np.float32)
        left, sizes, right = randomized_svd(
            form, min(self.dim, *form.shape), random_state=self.seed
        )
        roots = np.sqrt(sizes)
        network.codes[:, : len(sizes)] = torch.from_numpy(left * roots)
        network.terms[:, : len(sizes)] = torch.from_numpy(right.T * roots)


def codes_of(
    network: PyramidMatching, grids: NDArray[np.float16], rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the unary codes of pictures by layer, float32 (layers, n, words cells)."""
    blocks = [
        network.unary(
            network.counts(torch.from_numpy(grids[rows[s : s + ROWS]].astype(np.float32)))
        )
        for s in range(0, len(rows), ROWS)
    ]
    return np.ascontiguousarray(torch.cat(blocks).transpose(0, 1).numpy())


def _idf(tokens: Tokens, size: int) -> FloatArray:
    """Return log((1 + m) / (1 + texts with the word)) + 1, 0 for what is no known word."""
    owners = np.repeat(np.arange(len(tokens)), np.diff(tokens.offsets))
    once = np.unique(np.stack([owners, tokens.values]), axis=1)[1]
    rarity = np.log((1 + len(tokens)) / (1 + np.bincount(once, minlength=size))) + 1
    rarity[: UNKNOWN + 1] = 0
    return np.asarray(rarity, np.float32)
