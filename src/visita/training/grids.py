"""Pictures as grids and texts as tokens: the arrays that networks of cells and words read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.data.pairs import PairSet
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.vocabulary import Vocabulary
from visita.errors import ConfigError
from visita.matchers.cross_modal import stack_grids
from visita.store.altered import view_features
from visita.training.mkl_config import CrossModalConfig
from visita.types import FloatArray, Recipe, TokenEncoder, Tokens

VALIDATED = 300
"""Pictures of dev that choose the epoch, with their texts: all with all would take minutes."""
TextReader = TokenEncoder | Vocabulary
"""Gives the tokens of texts: of a pretrained encoder, or the numbers of words."""


@dataclass(frozen=True)
class GridView:
    """A further view of n pictures: grids float16 (n, cells, d), and ``View.made_of``."""

    grids: NDArray[np.float16]
    made_of: sparse.csr_array


@dataclass(frozen=True)
class CrossTensors:
    """Grids float16 (n, cells, d) of pictures, tokens of m texts, truth sparse bool (n, m)."""

    grids: NDArray[np.float16]
    tokens: Tokens
    truth: sparse.csr_array
    views: tuple[GridView, ...] = ()


def cross_tensors(
    pairs: PairSet, columns: Mapping[str, FloatArray], recipe: Recipe, text: TextReader
) -> CrossTensors:
    """Return the grids of ``recipe`` and the tokens of the pairs, as training reads them."""
    return CrossTensors(stack_grids(columns, recipe), text.tokens(pairs.texts), pairs.truth.tocsr())


def with_views(
    tensors: CrossTensors, pairs: PairSet, config: CrossModalConfig, folder: str | Path | None
) -> CrossTensors:
    """Return the tensors with the augmented views of their pictures, from those of ``pairs``."""
    recipe = config.recipe()
    views = view_features(pairs, recipe, config.views, folder)
    grids = (GridView(stack_grids(view.columns, recipe), view.made_of) for view in views)
    return replace(tensors, views=tuple(grids))


def text_reader(config: CrossModalConfig, train: PairSet) -> TextReader:
    """Return what reads texts: a pretrained encoder, or a vocabulary of the training texts.

    Raises
    ------
    ConfigError
        As ``token_encoder``.
    """
    if config.text_side == "pretrained":
        return token_encoder(config)
    return Vocabulary.fit(train.texts, config.vocabulary, config.longest)


def token_encoder(config: CrossModalConfig) -> TokenEncoder:
    """Return the pretrained encoder whose tokens a network reads.

    Raises
    ------
    ConfigError
        If it has no tokens.
    """
    encoder: TokenEncoder = TEXT_ENCODERS.load(config.text_encoder)(config.text_levels)
    if not hasattr(encoder, "tokens"):
        raise ConfigError(
            f"{config.text_encoder} gives vectors of texts but not of their tokens, which the "
            "re-ranker reads: set second.text_encoder to another, such as minilm-l6."
        )
    return encoder
