"""ADPM: Liu, Hang, Song, Zhu, Plaza & Plaza, "Adaptive deep pyramid matching for remote sensing
scene classification" (2016), as the image kernel of an SVM over pairs.

Printed there: the convolutional layers of a network are the levels of a pyramid; the vectors at
all places of a layer become a histogram of visual words (k-means), layers are compared by
histogram intersection, and the weights of the layers are learnt with the kernel. There it
classifies scenes. Ours, to match texts: a kernel of pairs is that of the pictures times that of
the texts (the cosine of their tf-idf), SimpleMKL weighs the layers and finds the SVM of true and
false pairs, k((I, T), (J, U)) = Σ_l β_l k_l(I, J) k(T, U).

Intersection of counts is an inner product of their unary codes, min(a, b) = Σ_k [a >= k][b >= k].
So the SVM's decision is a bilinear form of a picture's codes and a text's tf-idf, whose strongest
directions give one vector a picture and a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class PyramidMatching(nn.Module):
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

    mean: Tensor
    scale: Tensor
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
        super().__init__()
        self.cells, self.widths = cells, list(widths)
        self.arguments: dict[str, Any] = {
            "name": "adpm",
            "packed": [1, dim, dim],
            "cells": cells,
            "grid_features": grid_features,
            "widths": self.widths,
            "words": words,
            "vocabulary": vocabulary,
            "dim": dim,
        }
        self.register_buffer("mean", torch.zeros(grid_features))
        self.register_buffer("scale", torch.ones(grid_features))
        self.register_buffer("centres", torch.zeros(words, grid_features))
        self.register_buffer("codes", torch.zeros(len(self.widths) * words * cells, dim))
        self.register_buffer("terms", torch.zeros(vocabulary, dim))
        self.register_buffer("idf", torch.zeros(vocabulary))

    def counts(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to how many cells show each word of each layer, (n, layers, words)."""
        layers = torch.split((grid - self.mean) / self.scale, self.widths, -1)
        found = []
        of_layers = torch.split(self.centres, self.widths, -1)
        for cells, centres in zip(layers, of_layers, strict=True):
            far = centres.square().sum(-1) - 2 * cells @ centres.T
            nearest = functional.one_hot(far.argmin(-1), len(centres))
            found.append(nearest.to(grid.dtype).sum(1))
        return torch.stack(found, 1)

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

    def score(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the cosines of packed pictures and texts, (n, m)."""
        return images[:, 0] @ texts[:, 0].T
