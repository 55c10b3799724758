"""NIC and m-RNN: a recurrent network that says a picture's caption word by word.

Vinyals, Toshev, Bengio & Erhan, "Show and tell" (2015): the picture, mapped linearly, is an
LSTM's first input, the words so far the next ones; each word's probability is a softmax over
the vocabulary; trained by likelihood, captions by a beam. Mao et al., "Deep captioning with
multimodal recurrent neural networks" (2015): the picture is also added, mapped linearly, to the
state after each word, and sentences are ranked for a picture by P(w | image) / P(w), as frequent
sentences would win otherwise; P(w) is the mean over training pictures.

Ours: both ways that the picture enters, in one network; a score is the log of that ratio through
tanh, which orders nothing anew; P(w) is the mean over 64 training pictures; the LSTM is narrower
than theirs (512); Adam, and the epoch that ranks best on a few pictures of dev.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from visita.baselines.words import BatchLoss, CellNetwork, PairBaseline, every_pair, pack_images
from visita.encoders.vocabulary import PADDING, UNKNOWN
from visita.training.batches import Batch
from visita.training.config import Share
from visita.training.grids import CrossTensors

END = PADDING
"""The number that no word has begins a caption, and ends it."""
CROWD = 64
"""Training pictures that say how likely a caption is without a picture."""
NATS = 20.0
"""Of the log ratio that is a score of tanh(1)."""


class Captioner(CellNetwork):
    """A pair network; a text's rows are its inputs, the word that follows each, and log P(w).

    Attributes
    ----------
    crowd : float32 (CROWD, d)
        Features of training pictures.
    """

    crowd: Tensor

    def __init__(
        self, cells: int, grid_features: int, *, vocabulary: int, dim: int, dropout: float = 0.0
    ) -> None:
        settings = {"vocabulary": vocabulary, "dim": dim}
        super().__init__("captioner", (1, dim, dim + 2), cells, grid_features, **settings)
        self.register_buffer("crowd", torch.zeros(CROWD, grid_features))
        self.see = nn.Linear(grid_features, dim)
        self.embed = nn.Embedding(vocabulary, dim)
        self.read = nn.LSTM(dim, dim, batch_first=True)
        self.add = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(dropout)
        self.say = nn.Linear(dim, vocabulary)

    def image(self, grid: Tensor) -> Tensor:
        """Map (n, cells, d) to the LSTM's first input (n, 1, dim)."""
        first: Tensor = self.see(self.standardised(grid).mean(1, keepdim=True))
        return first

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map word numbers (m, t) to (m, t + 1, dim + 2); after the end all is zero.

        Each row has an equal share of the log P of all.
        """
        inputs = functional.pad(tokens, (1, 0), value=END)
        following = functional.pad(tokens, (0, 1), value=END)
        there = functional.pad(mask, (1, 0), value=True)[..., None].to(self.mean.dtype)
        words = self.embed(inputs) * there
        inputs_and_next = torch.cat([words, following[..., None].to(words.dtype)], -1)
        crowd, texts = every_pair(self.image(self.crowd[:, None]), inputs_and_next)
        log_p = self.likelihood(crowd, texts[..., :-1], texts[..., -1].long())
        each = (log_p.reshape(CROWD, *following.shape) * there[..., 0]).sum(-1)
        prior = each.logsumexp(0) - math.log(CROWD)
        share = (prior / there.sum((1, 2)))[:, None, None].expand_as(there)
        return torch.cat([inputs_and_next, share], -1) * there

    def likelihood(self, images: Tensor, words: Tensor, following: Tensor) -> Tensor:
        """Return log P of the words that follow, (p, t); images (p, 1, dim), words (p, t, dim)."""
        logits = self.say(self.dropout(self.states(images, words)))
        log_p: Tensor = logits.log_softmax(-1).gather(-1, following[..., None])[..., 0]
        return log_p

    def states(self, images: Tensor, words: Tensor) -> Tensor:
        """Return what each next word is said from, (p, t, dim): the LSTM's state and the picture.

        images (p, 1, dim), words so far (p, t, dim)
        """
        states, _ = self.read(self.dropout(torch.cat([images, words], 1)))
        said_from: Tensor = states[:, 1:] + self.add(images)
        return said_from

    def score(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the scores of packed pictures (n, 1, dim) and texts (m, t, dim + 2), (n, m)."""
        dim = images.shape[-1]
        left, right = every_pair(images, texts)
        words, following, prior = right[..., :dim], right[..., dim].long(), right[..., dim + 1]
        there = (words.square().sum(-1) > 0).to(words.dtype)
        ratio = (self.likelihood(images=left, words=words, following=following) - prior) * there
        return torch.tanh(ratio.sum(-1) / NATS).reshape(-1, len(texts))


class NextWord(nn.Module):
    """One step of writing, for export."""

    def __init__(self, network: Captioner) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, numbers: Tensor) -> Tensor:
        """Map images (b, 1, dim) and words so far (b, t) to log P of the next one (b, vocabulary).

        Words begin with ``END``; one that is not known is never said.
        """
        states = self.network.states(images, self.network.embed(numbers))
        log_p = self.network.say(states[:, -1]).log_softmax(-1)
        silent = torch.zeros_like(log_p[:1])
        silent[:, UNKNOWN] = -1e4
        spoken: Tensor = log_p + silent
        return spoken


class NIC(PairBaseline):
    """A recurrent captioner: ranks by likelihood, and writes captions."""

    paper: ClassVar[str] = "Vinyals et al. 2015, Mao et al. 2015"
    validated: ClassVar[int] = 100

    vocabulary: Annotated[int, Field(ge=1)] = 3000
    batch: Annotated[int, Field(ge=2)] = 64
    epochs: Annotated[int, Field(ge=0)] = 4
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    dropout: Share = 0.3
    dim: Annotated[int, Field(ge=1, le=2048)] = 256
    depth: Annotated[int, Field(ge=1)] = 100

    def made(self, cells: int, features: int, words: int) -> Captioner:
        """Return the network, untrained."""
        return Captioner(cells, features, vocabulary=words, dim=self.dim, dropout=self.dropout)

    def loss(self, network: Captioner, train: CrossTensors, words: int) -> BatchLoss:
        """Return the negative log-likelihood of the words of true captions."""
        crowd = np.random.default_rng([self.seed, 1]).integers(len(train.grids), size=CROWD)
        pictures = train.grids[crowd].astype(np.float32).mean(axis=1)
        network.crowd.copy_(torch.from_numpy(pictures))

        def loss(batch: Batch) -> tuple[Tensor, float]:
            numbers, mask = (torch.from_numpy(array) for array in train.tokens.padded(batch.texts))
            inputs = functional.pad(numbers, (1, 0), value=END)
            following = functional.pad(numbers, (0, 1), value=END)
            there = functional.pad(mask, (1, 0), value=True)
            images = pack_images(network, train, batch.images)
            log_p = network.likelihood(images, network.embed(inputs), following)
            return -log_p[there].mean(), math.log(words)

        return loss
