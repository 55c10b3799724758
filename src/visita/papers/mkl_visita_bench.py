"""What all systems of a reproduction of MKL-VisITA learn from, choose by and are measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.data.pairs import PairSet, held_out
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.vocabulary import Vocabulary
from visita.evaluation.blocks import DenseBlocks, ScoreBlocks, Truth
from visita.evaluation.intervals import Groups, components
from visita.evaluation.pairs import LabelledPairs, draw_pairs
from visita.evaluation.ranks import Ranks, best_ranks
from visita.evaluation.rerank import TwoStageBlocks
from visita.evaluation.retrieval import recall_sum
from visita.matchers.cross_modal import stack_grids
from visita.matchers.rerank import DEPTH
from visita.reports.examples import FOUND
from visita.store.altered import view_features
from visita.store.extract import PairFeatures, pair_features, text_features
from visita.training.config import CrossModalConfig, FusionConfig, MklVisitaConfig
from visita.training.cross_modal import CrossTensors, GridView, check_cross_modal
from visita.training.learn import text_encoder_of
from visita.training.tensors import PairTensors, level_widths
from visita.training.words import keyword_pairs
from visita.types import FloatArray, Recipe, TextEncoder, TokenEncoder, Tokens

BothWays = tuple[ScoreBlocks, ScoreBlocks]
"""Pictures that ask for texts, texts that ask for pictures."""


def one_stage(scores: FloatArray) -> BothWays:
    """Return the scores of all pairs, float32 (n, m), as they rank both ways."""
    return DenseBlocks(scores), DenseBlocks(np.ascontiguousarray(scores.T))


def two_stages(
    first: FloatArray, second: FloatArray, weight: float
) -> tuple[TwoStageBlocks, TwoStageBlocks]:
    """Return how both stages rank both ways, from the scores of each, float32 (n, m)."""
    looks = sparse.csr_array(second), sparse.csr_array(second.T)
    by_image, by_text = one_stage(first)
    return (
        TwoStageBlocks(by_image, looks[0], weight, DEPTH),
        TwoStageBlocks(by_text, looks[1], weight, DEPTH),
    )


def ranks_of(ways: BothWays, truth: Truth) -> tuple[Ranks, Ranks]:
    """Return the rank of each picture's best text (n, 3), and of each text's picture (m, 3)."""
    return best_ranks(ways[0], truth), best_ranks(ways[1], truth.T.tocsr())


def rsum(ways: BothWays, truth: Truth) -> float:
    """Return the sum of the six recalls, in percent."""
    return recall_sum(*ranks_of(ways, truth))


def first_pictures(ways: BothWays) -> NDArray[np.int64]:
    """Return the first pictures of each text, int64 (m, FOUND)."""
    return np.concatenate(
        [np.argsort(-scores, axis=1, kind="stable")[:, :FOUND] for _, scores in ways[1]]
    )


TRAIN, DEV, TEST = "train", "dev", "test"
"""Learnt from, chosen by, measured on."""
VALIDATED = 300
"""Pictures that choose the second stage's epoch: all with all texts would take minutes."""


@dataclass(frozen=True, eq=False)
class Words:
    """What gives tokens, and those of each part's texts."""

    reader: TokenEncoder | Vocabulary
    tokens: Mapping[str, Tokens]

    @property
    def vocabulary(self) -> Vocabulary | None:
        """What gives the tokens, if that was fitted on the texts that are learnt from."""
        return self.reader if isinstance(self.reader, Vocabulary) else None


@dataclass(frozen=True, eq=False)
class Bench:
    """Everything that the cells of one run share.

    Attributes
    ----------
    parts : mapping
        The features of train, dev and test.
    text : TextEncoder
        What the texts were encoded with.
    config : MklVisitaConfig
    folder : Path or None
        Where features are kept, if not in the cache.
    """

    parts: Mapping[str, PairFeatures]
    text: TextEncoder
    config: MklVisitaConfig
    folder: str | Path | None

    def pairs(self, part: str) -> PairSet:
        """Return the images and texts of a part."""
        return self.parts[part].pairs

    @cached_property
    def truth(self) -> Mapping[str, Truth]:
        """Which belong together, csr bool (n, m), of dev and test."""
        return {part: self.pairs(part).truth.tocsr() for part in (DEV, TEST)}

    @cached_property
    def drawn(self) -> Mapping[str, LabelledPairs]:
        """The pairs that are classified, of dev, where the threshold is chosen, and of test."""
        return {part: draw_pairs(self.truth[part], seed=self.config.seed) for part in (DEV, TEST)}

    @cached_property
    def groups(self) -> Groups:
        """What is drawn together when the measured pictures are resampled."""
        return components(self.truth[TEST])

    def pooled(self, part: str, config: FusionConfig) -> PairTensors:
        """Return what the first stage learns from or embeds."""
        return PairTensors.of(self.parts[part], config.recipe())

    def keywords(self, config: FusionConfig, train: PairTensors) -> PairTensors | None:
        """Return short texts for the pictures of ``train``, None where there are none."""
        drawn = keyword_pairs(self.pairs(TRAIN), config.keywords_per_image, config.seed)
        if not drawn.texts:
            return None
        texts = text_features(drawn.texts, self.text, self.folder)
        return PairTensors(train.images, texts.pooled(), drawn.truth)

    def words(self, config: CrossModalConfig) -> Words:
        """Return what the second stage reads of the texts."""
        return self._pretrained if config.text_side == "pretrained" else self._vocabulary

    def cross(self, part: str, config: CrossModalConfig) -> CrossTensors:
        """Return what the second stage learns from, its views too, or scores."""
        recipe = config.recipe()
        views = config.views if part == TRAIN else ()
        seen = view_features(self.pairs(part), recipe, views, self.folder)
        plain = _cross(self.parts[part], config, self.words(config).tokens[part])
        return replace(
            plain,
            views=tuple(GridView(stack_grids(v.columns, recipe), v.made_of) for v in seen),
        )

    def validated(self, config: CrossModalConfig) -> CrossTensors:
        """Return what chooses the second stage's epoch: some pictures of dev, with their texts."""
        some = self.parts[DEV].of_images(self.pairs(DEV).some_images(VALIDATED, config.seed))
        return _cross(some, config, self.words(config).reader.tokens(some.pairs.texts))

    @cached_property
    def _pretrained(self) -> Words:
        second = self.config.second
        return self._read_by(TEXT_ENCODERS.load(second.text_encoder)(second.text_levels))

    @cached_property
    def _vocabulary(self) -> Words:
        second = self.config.second
        texts = self.pairs(TRAIN).texts
        return self._read_by(Vocabulary.fit(texts, second.vocabulary, second.longest))

    def _read_by(self, reader: TokenEncoder | Vocabulary) -> Words:
        return Words(reader, {part: reader.tokens(self.pairs(part).texts) for part in self.parts})

    @cached_property
    def fingerprint(self) -> str:
        """A hash over the pairs and all features, and so over whatever those come from."""
        digest = sha256(f"{self.text.name} {self.text.fingerprint()}".encode())
        for part, features in self.parts.items():
            digest.update(f"{part} {features.pairs.fingerprint()}".encode())
            for name, values in sorted(features.columns.items()):
                digest.update(name.encode())
                digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()[:16]


def _cross(features: PairFeatures, config: CrossModalConfig, tokens: Tokens) -> CrossTensors:
    grids = stack_grids(features.columns, config.recipe())
    return CrossTensors(grids, tokens, features.pairs.truth.tocsr())


def make_bench(
    pairs: PairSet,
    split: str,
    config: MklVisitaConfig,
    augmented: Sequence[CrossModalConfig],
    folder: str | Path | None,
) -> Bench:
    """Extract the features that all systems read, and those of the views that ``augmented`` name.

    Raises
    ------
    ConfigError
        If ``split`` cannot be measured, or the settings do not suit each other.
    DataError
        If a split is empty or no image can be read.
    """
    first, second = config.stages()
    level_widths(first)  # what cannot be used is refused before long work
    check_cross_modal(second)
    pairs = held_out(pairs, split, config.seed)
    text = text_encoder_of(first, pairs)
    recipe = Recipe.union([first.recipe(), second.recipe()])
    used = pair_features(pairs, recipe, text, folder)
    parts = {part: used.take(part) for part in (TRAIN, DEV, TEST)}
    for one in augmented:
        for _ in view_features(parts[TRAIN].pairs, one.recipe(), one.views, folder):
            pass  # kept in the store, so that no cell's time has them
    return Bench(parts, text, config, folder)
