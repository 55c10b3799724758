"""m-CNN: Ma, Lu, Shang & Li, "Multimodal convolutional neural networks for matching image and
sentence" (2015).

Printed there: convolutions of 3 words, each followed by a maximum over 2 places, in three
layers of 200, 300 and 300 maps. The picture's vector joins every window of the first layer
(level ``word``), of the second, whose windows are short phrases (``phrase-short``), or of the
third, of longer ones (``phrase-long``), or it joins the finished sentence (``sentence``) in the
multi-layer perceptron of 400 that gives the score at every level. Sentences are filled up to 30
words, and a window of filling gives zero. Hinge loss with random negatives, margin 0.5. (The
paper's best adds the scores of all four levels.) There, words come from skip-gram vectors of 50;
here they are learnt. Ours: the score goes through tanh, which orders nothing anew, and an image
vector of 256 at every level.

In training, too, as printed: dropout, early stopping on dev. Ours: of eight random false pictures
and of eight texts out of a pair's batch, the one with the highest score; and Adam for SGD.

A layer is linear before its ReLU, so that a picture's and a sentence's parts of it are
computed, and packed, apart.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from visita.baselines.words import (
    BatchLoss,
    CellNetwork,
    PairBaseline,
    every_pair,
    pack_images,
    pack_texts,
)
from visita.training.batches import Batch
from visita.training.config import Share
from visita.training.grids import CrossTensors

WINDOW = 3
WORDS = 30
"""Words that are read."""
WORD = 100
MAPS = (200, 300, 300)
IMAGE = 256
HIDDEN = 400
Level = Literal["word", "phrase-short", "phrase-long", "sentence"]
"""Where the picture enters: into the first, second or third layer over words, or after all."""


class MultimodalCNN(CellNetwork):
    """A pair network; a text's rows are the places of the layer that the picture enters.

    At the level ``sentence`` a text is one row.
    """

    def __init__(
        self, cells: int, grid_features: int, *, vocabulary: int, level: Level, dropout: float = 0.0
    ) -> None:
        before, at_end = get_args(Level).index(level), level == "sentence"
        last = MAPS[-1] * (WORDS // 2 ** len(MAPS))
        # Of a picture, and of each row of a text, which also has where words are.
        joined, row = (IMAGE, last) if at_end else (MAPS[before], MAPS[before] + 1)
        settings = {"vocabulary": vocabulary, "level": level}
        super().__init__("m-cnn", (1, joined, row), cells, grid_features, **settings)
        self.before, self.at_end, self.places = before, at_end, WORDS // 2**before
        self.see = nn.Sequential(nn.Dropout(dropout), nn.Linear(grid_features, IMAGE), nn.ReLU())
        self.join = nn.Identity() if self.at_end else nn.Linear(IMAGE, joined, bias=False)
        self.embed = nn.Embedding(vocabulary, WORD)
        widths = (WORD, *MAPS)
        self.convolve = nn.ModuleList(
            nn.Conv1d(inputs, outputs, WINDOW, padding=1) for inputs, outputs in pairwise(widths)
        )
        self.judge = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(last + (IMAGE if self.at_end else 0), HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(HIDDEN, 1),
        )

    def image(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to (n, 1, …): the mean cell, as the level needs it."""
        cell = self.see(self.standardised(grid).mean(1, keepdim=True))
        packed: Tensor = self.join(cell)
        return packed

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to (m, places, maps + 1), with where words are, or (m, 1, …)."""
        # Filled up by more than is needed and cut, so that any length leaves the same shape.
        there = functional.pad(mask.to(self.mean.dtype), (0, WORDS))[:, None, :WORDS]
        words = functional.pad(self.embed(tokens) * mask[..., None], (0, 0, 0, WORDS))[:, :WORDS]
        x = words.transpose(1, 2)
        for layer in self.convolve[: self.before]:
            x, there = _pooled(layer(x), _windows(there))
        if self.at_end:
            return x.flatten(1)[:, None]
        packed = torch.cat([self.convolve[self.before](x), _windows(there)], 1)
        return packed.transpose(1, 2)

    def score(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the score of packed pictures and texts, (n, m), between -1 and 1."""
        return self.score_pairs(*every_pair(images, texts)).reshape(-1, len(texts))

    def score_pairs(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores of the pairs (i, i) alone, (n,)."""
        if self.at_end:
            finished = torch.cat([images[:, 0], texts[:, 0]], -1)
        else:
            rows = texts[:, : self.places].transpose(1, 2)
            x, there = _pooled(rows[:, :-1] + images.transpose(1, 2), rows[:, -1:])
            for layer in self.convolve[self.before + 1 :]:
                x, there = _pooled(layer(x), _windows(there))
            finished = x.flatten(1)
        return torch.tanh(self.judge(finished)[:, 0])


def _windows(there: Tensor) -> Tensor:
    """Return which windows (m, 1, places) have any of what is there."""
    return functional.max_pool1d(there, WINDOW, 1, 1)


def _pooled(x: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return a layer (m, maps, places) after its ReLU and maximum, and which places are there."""
    return functional.max_pool1d(functional.relu(x) * there, 2), functional.max_pool1d(there, 2)


class MCNN(PairBaseline):
    """Convolutions over words, joined by the picture at words, phrases or the sentence."""

    paper: ClassVar[str] = "Ma et al. 2015"
    validated: ClassVar[int] = 100

    longest: Annotated[int, Field(ge=1, le=WORDS)] = WORDS
    batch: Annotated[int, Field(ge=2)] = 128
    epochs: Annotated[int, Field(ge=0)] = 6
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    dropout: Share = 0.2
    margin: Annotated[float, Field(ge=0)] = 0.5
    candidates: Annotated[int, Field(ge=1)] = 8
    """Random false pictures, and texts, of a pair: the one with the highest score counts."""
    level: Level = "word"
    depth: Annotated[int, Field(ge=1)] = 50

    def made(self, cells: int, features: int, words: int) -> MultimodalCNN:
        """Return the network, untrained."""
        return MultimodalCNN(
            cells, features, vocabulary=words, level=self.level, dropout=self.dropout
        )

    def loss(self, network: MultimodalCNN, train: CrossTensors, words: int) -> BatchLoss:
        """Return the hinge against a false text and a false picture of each pair."""
        del words
        rng = np.random.default_rng([self.seed, 1])

        def loss(batch: Batch) -> tuple[Tensor, float]:
            images = pack_images(network, train, batch.images)
            texts = pack_texts(network, train, batch.texts)
            known = batch.also_true | np.eye(len(images), dtype=bool)
            true = network.score_pairs(images, texts)
            against = (
                (known, lambda rows: network.score_pairs(images, texts[rows])),
                (known.T, lambda rows: network.score_pairs(images[rows], texts)),
            )
            false = torch.stack([self._hardest(*side, rng) for side in against])
            return functional.relu(self.margin - true + false).sum(0).mean(), 2 * self.margin

        return loss

    def _hardest(
        self,
        known: NDArray[np.bool_],
        score: Callable[[NDArray[np.int64]], Tensor],
        rng: np.random.Generator,
    ) -> Tensor:
        """Return the highest score of each pair with some of what it does not match, (b,)."""
        drawn = np.stack([false_of(known, rng) for _ in range(self.candidates)])
        with torch.no_grad():
            highest = torch.stack([score(rows) for rows in drawn]).argmax(0).numpy()
        return score(drawn[highest, np.arange(len(known))])


def false_of(known: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for each row a random column that is not known as true, int64 (b,)."""
    # The largest of random numbers: any false one is as likely as any other.
    drawn: NDArray[np.int64] = np.where(known, -1, rng.random(known.shape)).argmax(axis=1)
    return drawn
