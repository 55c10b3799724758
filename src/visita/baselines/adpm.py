"""ADPM: Liu, Hang, Song, Zhu, Plaza & Plaza, "Adaptive deep pyramid matching for remote sensing
scene classification" (2016), as the image kernel of an SVM over pairs.

Printed there: the convolutional layers of a network are the levels of a pyramid; the vectors at
all places of a layer become a histogram of visual words (k-means), layers are compared by
histogram intersection, and the weights of the layers are learnt with the kernel. There it
classifies scenes. Ours, to match texts: a kernel of pairs is that of the pictures times that of
the texts (the cosine of their tf-idf); SimpleMKL, on a sample of true and as many false pairs,
weighs the layers and finds the SVM, k((I, T), (J, U)) = Σ_l β_l k_l(I, J) k(T, U).

Intersection of counts is an inner product of their unary codes, min(a, b) = Σ_k [a >= k][b >= k].
So the SVM's decision is a bilinear form of a picture's codes and a text's tf-idf, whose strongest
directions give one vector a picture and a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils.extmath import randomized_svd
from torch import Tensor
from torch.nn import functional

from visita.baselines.baseline import WordBaseline
from visita.baselines.words import ROWS, VectorNetwork, standardise, vectors_of
from visita.encoders.vocabulary import UNKNOWN, Vocabulary
from visita.kernels.estimators import SimpleMKL
from visita.kernels.pairs import sample_pairs
from visita.kernels.simplemkl import PAPER_TOLERANCE
from visita.store.pictures import RecipeEncoder
from visita.training.config import LAST_GRIDS, ImageLevels
from visita.training.grids import CrossTensors
from visita.training.loop import History
from visita.training.tuning import Validate
from visita.types import FloatArray, Tokens


class PyramidMatching(VectorNetwork):
    """A pair network that packs one unit vector; solved for, not trained.

    Parameters
    ----------
    widths : of int
        Features of each layer, which lie side by side in a cell.
    words : int
        Visual words of each layer.

    Attributes
    ----------
    centres : float32 (words, grid_features)
        Of each layer side by side, as its cells are.
    codes : float32 (layers words cells, dim)
        What each digit of a picture's codes adds.
    terms : float32 (vocabulary, dim)
        What each word of a text adds.
    idf : float32 (vocabulary,)
        0 for what is no known word.
    """

    centres: Tensor
    codes: Tensor
    terms: Tensor
    idf: Tensor

    def __init__(
        self,
        cells: int,
        grid_features: int,
        *,
        widths: Sequence[int],
        words: int,
        vocabulary: int,
        dim: int,
    ) -> None:
        sizes = {"widths": list(widths), "words": words, "vocabulary": vocabulary, "dim": dim}
        super().__init__("adpm", (1, dim, dim), cells, grid_features, **sizes)
        self.cells, self.widths = cells, list(widths)
        self.register_buffer("centres", torch.zeros(words, grid_features))
        self.register_buffer("codes", torch.zeros(len(self.widths) * words * cells, dim))
        self.register_buffer("terms", torch.zeros(vocabulary, dim))
        self.register_buffer("idf", torch.zeros(vocabulary))

    def counts(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to how many cells show each word of each layer, (n, layers, words)."""
        layers = torch.split(self.standardised(grid), self.widths, -1)
        counts = []
        of_layers = torch.split(self.centres, self.widths, -1)
        for cells, centres in zip(layers, of_layers, strict=True):
            far = centres.square().sum(-1) - 2 * cells @ centres.T
            nearest = functional.one_hot(far.argmin(-1), len(centres))
            counts.append(nearest.to(grid.dtype).sum(1))
        return torch.stack(counts, 1)

    def unary(self, counts: Tensor) -> Tensor:
        """Map counts (n, layers, words) to their codes (n, layers, words cells), over √cells.

        The inner product of two pictures' codes at a layer is the intersection of histograms.
        """
        steps = torch.arange(1, self.cells + 1, dtype=counts.dtype)
        codes = (counts[..., None] >= steps).to(counts.dtype) / self.cells**0.5
        flat: Tensor = codes.flatten(2)
        return flat

    def tf_idf(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to tf-idf of length 1, (m, vocabulary); zero if all unknown."""
        counts = torch.zeros(len(tokens), len(self.idf))
        counts.scatter_add_(1, tokens, mask.to(counts.dtype))
        return functional.normalize(counts * self.idf, dim=-1)

    def image(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to (n, 1, dim)."""
        codes = self.unary(self.counts(grid)).flatten(1)
        return functional.normalize(codes @ self.codes, dim=-1)[:, None]

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to (m, 1, dim); lengths of tf-idf do not matter any more."""
        weights = (self.idf[tokens] * mask)[..., None]
        return functional.normalize((weights * self.terms[tokens]).sum(1), dim=-1)[:, None]


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
        sample = rows[np.sort(rng.permutation(len(rows))[:CELLS])].astype(np.float32)
        sample = (sample - network.mean.numpy()) / network.scale.numpy()
        layers = np.split(sample, np.cumsum(network.widths)[:-1], axis=1)
        means = [
            MiniBatchKMeans(self.words, random_state=self.seed, batch_size=4096, n_init=1).fit(
                layer
            )
            for layer in layers
        ]
        return np.concatenate([fit.cluster_centers_ for fit in means], axis=1).astype(np.float32)

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
