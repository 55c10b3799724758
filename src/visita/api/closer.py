"""What a matcher's second stage thinks of pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.features.extract import PairFeatures
from visita.matchers.two_stage import TwoStageMatcher
from visita.progress import bar
from visita.types import FloatArray


@dataclass(frozen=True)
class CloserLook:
    """Both stages over the images and texts of one split.

    Attributes
    ----------
    matcher : TwoStageMatcher
    features : PairFeatures
        Of its recipe.
    """

    matcher: TwoStageMatcher
    features: PairFeatures

    @cached_property
    def vectors(self) -> tuple[FloatArray, FloatArray]:
        """The first stage's unit vectors of images (n, d) and texts (m, d)."""
        images = self.matcher.embed_images(self.features.columns)
        return images, self.matcher.embed_texts(self.features.texts)

    @cached_property
    def _packed(self) -> tuple[NDArray[np.float16], list[FloatArray]]:
        second = self.matcher.second
        return second.pack_images(self.features.columns), second.pack_texts(
            self.features.pairs.texts
        )

    def second(self, wanted: sparse.csr_array) -> sparse.csr_array:
        """Return the second stage's scores of the pairs ``wanted``, csr float32 (n, m)."""
        by_text = wanted.tocsc()
        images, texts = self._packed
        scores = np.empty(by_text.nnz, np.float32)
        with bar("closer looks", by_text.shape[1]) as advance:
            for number, text in enumerate(texts):
                span = slice(by_text.indptr[number], by_text.indptr[number + 1])
                if span.stop > span.start:
                    scores[span] = self.matcher.second.scores(images[by_text.indices[span]], text)
                advance(1)
        found = sparse.csc_array((scores, by_text.indices, by_text.indptr), shape=by_text.shape)
        return found.tocsr()

    def pairs(self, images: NDArray[np.int64], texts: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the score of both stages for pairs given by their rows, float64 (p,)."""
        shape = len(self.vectors[0]), len(self.vectors[1])
        wanted = sparse.csr_array((np.ones(len(images), bool), (images, texts)), shape=shape)
        second = self.second(wanted)[images, texts]
        first = np.einsum("pd,pd->p", self.vectors[0][images], self.vectors[1][texts])
        return np.asarray(self.matcher.combine(first, second), np.float64)
