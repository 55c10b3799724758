"""MKL-VisITA: visual transformer, text side, cross-modal attention, kernel layer.

Cross-modal attention in both directions, level by level.

A part of one side (a word, a phrase, a cell) attends to the parts of the other; the cosine
of the part and of what it attended to says how well it is answered there.

MKL-VisITA: visual transformer, text side, cross-modal attention, kernel layer.

The paper gives no equations for its attention, its hierarchy and how its kernels enter; ours
are written down in ``docs/mkl-visita.md``. What a picture or a text needs for scoring is
computed once and packed: one row a part, its unit vector followed by how much it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.errors import ConfigError
from visita.networks.kernel_functions import SHORTEST
from visita.networks.kernels import KernelLayer
from visita.networks.transformer import (
    PretrainedWords,
    RecurrentWords,
    TransformedWords,
    Transformer,
)


class Cells(nn.Module):
    """Early, middle and last CNN levels of each cell, and what the transformer makes of them.

    Attributes
    ----------
    mean, scale : float32 (d,)
        Training statistics of the grid's features.
    places : float32 (cells, width)
        The learnt embedding of where a cell is.
    """

    mean: Tensor
    scale: Tensor

    def __init__(
        self,
        cells: int,
        features: int,
        width: int,
        *,
        heads: int,
        depth: int,
        dropout: float,
        input_dropout: float,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))
        self.fuse = nn.Sequential(nn.Dropout(input_dropout), nn.Linear(features, width))
        self.places = nn.Parameter(torch.zeros(cells, width))
        self.transformer = Transformer(width, heads, depth, dropout)

    def forward(self, grid: Tensor) -> Tensor:
        """Map a grid, (n, cells, d), its levels side by side, to (n, cells, width)."""
        x = self.fuse((grid - self.mean) / self.scale) + self.places
        # Blocks add to what comes in, so the CNN's levels stay beside the transformer's view.
        mixed: Tensor = self.transformer(x, torch.ones_like(x[:, :, 0], dtype=torch.bool))
        return mixed


NEVER = -1e4
"""The logit of what must get no share; finite, as an empty row would else be no number."""


class Parts(NamedTuple):
    """The parts of n pictures or texts at one level.

    Attributes
    ----------
    vectors : float32 (n, p, e)
        Unit vectors; zero where there is no part.
    shares : float32 (n, p)
        How much each part counts; they sum to 1.
    """

    vectors: Tensor
    shares: Tensor


def parts(vectors: Tensor, logits: Tensor, mask: Tensor) -> Parts:
    """Return unit vectors with their shares, a softmax of the logits (n, p) over real parts."""
    unit = functional.normalize(vectors, dim=-1) * mask[..., None]
    return Parts(unit, functional.softmax(logits.masked_fill(~mask, NEVER), -1))


def answered(asking: Parts, asked: Parts, sharpness: Tensor) -> Tensor:
    """Return cosines, float32 (b, a, p): part p of item a and what it finds in item b.

    What it finds is the mean of b's parts, weighted by a softmax of ``sharpness`` times
    their cosines with it. A cosine does not depend on lengths, so the softmax needs no
    denominator; and where there is no part the zero vector adds nothing, so it needs no mask.
    """
    a, p, e = asking.vectors.shape
    cosines = asking.vectors.reshape(1, a * p, e) @ asked.vectors.transpose(1, 2)
    nearest = cosines.detach().amax(-1, keepdim=True)
    attention = torch.exp(sharpness * (cosines - nearest))
    dots = (attention * cosines).sum(-1)
    # The length of what was found, without making it: Σ_qr attention_q attention_r <v_q, v_r>.
    gram = asked.vectors @ asked.vectors.transpose(1, 2)
    lengths = (attention @ gram * attention).sum(-1)
    return (dots / lengths.clamp_min(SHORTEST).sqrt()).view(-1, a, p)


LEVELS = ("words", "phrases", "cells", "whole")
"""Words asking cells, phrases asking cells, cells asking words, the whole picture and sentence."""
WINDOW = 3
"""Words a phrase."""
SHARPNESS = 9.0
"""Of attention, at first (Lee et al., 2018, use 9 on vectors of length 1)."""
SLOPE = 10.0
"""Of the match probability over scores, at first."""
TEXT_SIDES = {
    "pretrained": PretrainedWords,
    "recurrent": RecurrentWords,
    "transformer": TransformedWords,
}


class MklVisita(nn.Module):
    """Scores of pictures and texts, a weighted sum of kernels of what each part finds.

    Parameters
    ----------
    cells, grid_features : int
        Shape of a picture's grid, its levels side by side.
    text : mapping
        ``side``, a name of ``TEXT_SIDES``, and its arguments.
    width, dim : int
        Inside the network, and of the packed vectors.
    levels, kernels : sequences of str
        Out of ``LEVELS``; as ``visita.networks.kernel_functions.parse`` reads them.

    Raises
    ------
    ConfigError
        If a level or a kernel does not exist, or ``width`` is no multiple of ``heads``.

    Attributes
    ----------
    arguments : dict
        What rebuilds the network for use, as JSON values.
    """

    def __init__(
        self,
        cells: int,
        grid_features: int,
        *,
        text: Mapping[str, Any],
        width: int,
        dim: int,
        heads: int,
        depth: int,
        levels: Sequence[str],
        kernels: Sequence[str],
        dropout: float = 0.0,
        input_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        unknown = [level for level in levels if level not in LEVELS]
        if unknown or not levels or not kernels:
            raise ConfigError(
                f"Choose levels among {', '.join(LEVELS)}, at least one, and at least one kernel."
            )
        if width % heads:
            raise ConfigError(f"width={width} cannot be shared by heads={heads}: take a multiple.")
        self.dim = dim
        self.arguments: dict[str, Any] = {
            "cells": cells,
            "grid_features": grid_features,
            "text": {key: value for key, value in text.items() if "dropout" not in key},
            "width": width,
            "dim": dim,
            "heads": heads,
            "depth": depth,
            "levels": list(levels),
            "kernels": list(kernels),
        }
        self.see = Cells(
            cells,
            grid_features,
            width,
            heads=heads,
            depth=depth,
            dropout=dropout,
            input_dropout=input_dropout,
        )
        arguments = dict(text)
        self.read: nn.Module = TEXT_SIDES[arguments.pop("side")](width=width, **arguments)
        self.phrase = nn.Conv1d(width, width, WINDOW, padding=WINDOW // 2)
        self.dropout = nn.Dropout(dropout)
        self.to_space = nn.ModuleDict(
            {
                part: nn.Linear(width, dim)
                for part in ("cells", "words", "phrases", "whole", "sentence")
            }
        )
        self.to_share = nn.ModuleDict(
            {part: nn.Linear(width, 1) for part in ("cells", "words", "phrases")}
        )
        self.kernels = KernelLayer(levels, kernels)
        self.log_sharpness = nn.Parameter(torch.tensor(SHARPNESS).log())
        # Strangers match as likely as not at first: far from there, errors hardly have a slope.
        self.slope = nn.Parameter(torch.tensor(SLOPE))
        self.offset = nn.Parameter(-SLOPE * self.kernels.unrelated())

    def image(self, grid: Tensor) -> Tensor:
        """Map grids (n, cells, d) to packed parts (n, 1 + cells, dim + 1): the whole, the cells."""
        x = self.see(grid)
        mask = torch.ones_like(x[..., 0], dtype=torch.bool)
        return _packed(self._whole(x, mask, "whole"), self._parts(x, mask, "cells"))

    def text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Map tokens of m texts to packed parts (m, 1 + t, 2 (dim + 1)).

        The sentence, then the words, and beside each the phrase around it.
        """
        x = self.read(tokens, mask)
        phrases = functional.gelu(self.phrase(x.transpose(1, 2)).transpose(1, 2))
        sentence = self._whole(x, mask, "sentence")
        words, around = self._parts(x, mask, "words"), self._parts(phrases, mask, "phrases")
        return torch.cat([_packed(sentence, words), _packed(sentence, around)], -1)

    def score(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return Σ β k of packed pictures and texts, float32 (n, m)."""
        whole, cells = _unpacked(images[:, :1]), _unpacked(images[:, 1:])
        width = self.dim + 1
        sentence, words = _unpacked(texts[:, :1, :width]), _unpacked(texts[:, 1:, :width])
        phrases = _unpacked(texts[:, 1:, width:])
        sharpness = self.log_sharpness.exp()
        scores = []
        for number, level in enumerate(self.kernels.levels):
            if level == "whole":
                cosines = (whole.vectors[:, 0] @ sentence.vectors[:, 0].T)[..., None]
                scores.append(self.kernels(number, cosines, sentence.shares[None]))
            elif level == "cells":
                answers = answered(cells, words, sharpness)
                scores.append(self.kernels(number, answers, cells.shares[None]).T)
            else:
                asking = words if level == "words" else phrases
                answers = answered(asking, cells, sharpness)
                scores.append(self.kernels(number, answers, asking.shares[None]))
        return torch.stack(scores).sum(0)

    def score_pairs(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return what ``score`` does of the pairs (i, i) alone, float32 (n,)."""
        score_pair = torch.vmap(lambda image, text: self.score(image[None], text[None])[0, 0])
        scores: Tensor = score_pair(images, texts)
        return scores

    def probability(self, scores: Tensor) -> Tensor:
        """Return the match probability of scores, float32 of the same shape."""
        return torch.sigmoid(self.slope * scores + self.offset)

    def _parts(self, x: Tensor, mask: Tensor, name: str) -> Parts:
        return parts(self.to_space[name](self.dropout(x)), self.to_share[name](x)[..., 0], mask)

    def _whole(self, x: Tensor, mask: Tensor, name: str) -> Parts:
        weights = mask.to(x.dtype) / mask.sum(1, keepdim=True)
        vector = self.to_space[name](self.dropout(weights[:, None] @ x))
        return Parts(functional.normalize(vector, dim=-1), torch.ones_like(vector[..., 0]))


class PictureParts(nn.Module):
    """The image half, for export."""

    def __init__(self, network: MklVisita) -> None:
        super().__init__()
        self.network = network

    def forward(self, grid: Tensor) -> Tensor:
        """Map grids (n, cells, d) to packed parts (n, 1 + cells, dim + 1)."""
        return self.network.image(grid)


class TextParts(nn.Module):
    """The text half for one text without padding, for export."""

    def __init__(self, network: MklVisita) -> None:
        super().__init__()
        self.network = network

    def forward(self, tokens: Tensor) -> Tensor:
        """Map the tokens of one text, (1, t, …), to its packed parts (1, 1 + t, 2 (dim + 1))."""
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return self.network.text(tokens, mask)


class PairScores(nn.Module):
    """The scoring half, for export."""

    def __init__(self, network: MklVisita) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """Map packed parts of n pictures and m texts to scores (n, m)."""
        return self.network.score(images, texts)


def _packed(*levels: Parts) -> Tensor:
    return torch.cat(
        [torch.cat([level.vectors, level.shares[..., None]], -1) for level in levels], 1
    )


def _unpacked(packed: Tensor) -> Parts:
    return Parts(packed[..., :-1], packed[..., -1])
