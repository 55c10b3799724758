"""MKL-VisITA: visual transformer, text side, cross-modal attention, kernel layer.

The paper gives no equations for its attention, its hierarchy and how its kernels enter; ours
are written down in ``docs/mkl-visita.md``. What a picture or a text needs for scoring is
computed once and packed: one row a part, its unit vector followed by how much it counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.errors import ConfigError
from visita.networks.cells import Cells
from visita.networks.interaction import Parts, answered, parts
from visita.networks.kernel_layer import KernelLayer
from visita.networks.words import PretrainedWords, RecurrentWords, TransformedWords

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
        Out of ``LEVELS``; as ``visita.networks.kernel_layer.parse`` reads them.

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
        seen = torch.ones_like(x[..., 0], dtype=torch.bool)
        return _packed(self._whole(x, seen, "whole"), self._parts(x, seen, "cells"))

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
                found = answered(cells, words, sharpness)
                scores.append(self.kernels(number, found, cells.shares[None]).T)
            else:
                asking = words if level == "words" else phrases
                found = answered(asking, cells, sharpness)
                scores.append(self.kernels(number, found, asking.shares[None]))
        return torch.stack(scores).sum(0)

    def score_pairs(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return what ``score`` does of the pairs (i, i) alone, float32 (n,)."""
        one = torch.vmap(lambda image, text: self.score(image[None], text[None])[0, 0])
        scores: Tensor = one(images, texts)
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
    return torch.cat([torch.cat([one.vectors, one.shares[..., None]], -1) for one in levels], 1)


def _unpacked(packed: Tensor) -> Parts:
    return Parts(packed[..., :-1], packed[..., -1])
