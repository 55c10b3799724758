"""m-CNN: Ma, Lu, Shang & Li, "Multimodal convolutional neural networks for matching image and
sentence" (2015).

Printed there: convolutions of 3 words, each followed by a maximum over 2 places, in three
layers of 200, 300 and 300 maps; at the level ``word`` the picture's vector joins every window of
the first layer, at the level ``sentence`` it joins the finished sentence in a multi-layer
perceptron of 400, which gives the score; sentences are filled up to 30 words, and a window of
filling gives zero. Hinge loss with random negatives, margin 0.5. (Between the two lie the levels
of short and long phrases; the paper's best is an ensemble of all four.) There, words come from
skip-gram vectors of 50; here they are learnt. Ours: the score goes through tanh, which orders
nothing anew, and an image vector of 256 at either level.

The first layer is linear before its ReLU, so that a picture's and a sentence's parts of it are
computed, and packed, apart.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.networks.classical.pairs import every_pair

WINDOW = 3
WORDS = 30
"""Words that are read."""
WORD = 100
MAPS = (200, 300, 300)
IMAGE = 256
HIDDEN = 400


class MultimodalCNN(nn.Module):
    """A pair network; a text's rows are the first layer's places, or one, the sentence."""

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        cells: int,
        grid_features: int,
        *,
        vocabulary: int,
        level: Literal["word", "sentence"],
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.level = level
        last = MAPS[-1] * (WORDS // 2 // 2 // 2)
        self.arguments: dict[str, Any] = {
            "name": "m-cnn",
            "packed": [1, MAPS[0], MAPS[0] + 1] if level == "word" else [1, IMAGE, last],
            "cells": cells,
            "grid_features": grid_features,
            "vocabulary": vocabulary,
            "level": level,
        }
        self.register_buffer("mean", torch.zeros(grid_features))
        self.register_buffer("scale", torch.ones(grid_features))
        self.see = nn.Sequential(nn.Dropout(dropout), nn.Linear(grid_features, IMAGE), nn.ReLU())
        self.join = nn.Linear(IMAGE, MAPS[0], bias=False)
        self.embed = nn.Embedding(vocabulary, WORD)
        widths = (WORD, *MAPS)
        self.convolve = nn.ModuleList(
            nn.Conv1d(one, other, WINDOW, padding=1) for one, other in pairwise(widths)
        )
        self.judge = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(last + (IMAGE if level == "sentence" else 0), HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, 1),
        )

    def image(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to (n, 1, …): the mean cell, as the level needs it."""
        seen = self.see(((grid - self.mean) / self.scale).mean(1, keepdim=True))
        packed: Tensor = self.join(seen) if self.level == "word" else seen
        return packed

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to (m, 30, 201), with where words are, or to (m, 1, …)."""
        # Filled up by more than is needed and cut, so that any length leaves the same shape.
        there = functional.pad(mask.to(self.mean.dtype), (0, WORDS))[:, :WORDS]
        words = functional.pad(self.embed(tokens) * mask[..., None], (0, 0, 0, WORDS))[:, :WORDS]
        first = self.convolve[0](words.transpose(1, 2)).transpose(1, 2)
        places = functional.max_pool1d(there[:, None], WINDOW, 1, 1)[:, 0]
        if self.level == "word":
            return torch.cat([first, places[..., None]], -1)
        return self._higher(first, places)[:, None]

    def score(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the score of packed pictures and texts, (n, m), between -1 and 1."""
        return self.score_pairs(*every_pair(images, texts)).reshape(-1, len(texts))

    def score_pairs(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores of the pairs (i, i) alone, (n,)."""
        if self.level == "word":
            finished = self._higher(texts[..., :-1] + images, texts[..., -1])
        else:
            finished = torch.cat([images[:, 0], texts[:, 0]], -1)
        return torch.tanh(self.judge(finished)[:, 0])

    def _higher(self, first: Tensor, there: Tensor) -> Tensor:
        """Map the first layer (m, 30, 200) before its ReLU, and where it is, to (m, 900)."""
        x, there = functional.relu(first).transpose(1, 2), there[:, None]
        for layer in (None, *self.convolve[1:]):
            if layer is not None:
                x = functional.relu(layer(x))
                there = functional.max_pool1d(there, WINDOW, 1, 1)
            x, there = functional.max_pool1d(x * there, 2), functional.max_pool1d(there, 2)
        return x.flatten(1)
