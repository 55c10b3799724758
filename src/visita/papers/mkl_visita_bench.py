"""What all systems of a reproduction of MKL-VisITA learn from, choose by and are measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.data.identity import identities
from visita.data.pairs import PairSet, held_out
from visita.data.seen import Overlap, Seen
from visita.encoders.vocabulary import Vocabulary
from visita.evaluation.blocks import BothWays, Truth, scores_both_ways
from visita.evaluation.intervals import Groups, components
from visita.evaluation.pairs import LabelledPairs, draw_pairs, pairs_to_measure
from visita.evaluation.rerank import RerankedBlocks
from visita.matchers.cross_modal import stack_grids
from visita.matchers.rerank import DEPTH
from visita.reports.outcomes import FOUND
from visita.store.altered import view_features
from visita.store.extract import PairFeatures, pair_features
from visita.training.config import FusionConfig
from visita.training.cross_modal import check_cross_modal
from visita.training.grids import VALIDATED, CrossTensors, TextReader, token_encoder, with_views
from visita.training.mkl_config import CrossModalConfig, MklVisitaConfig
from visita.training.tensors import PairTensors, level_widths
from visita.training.vectors import text_encoder_of
from visita.types import FloatArray, Recipe, TextEncoder, Tokens


def two_stages(
    first: FloatArray, second: FloatArray, weight: float
) -> tuple[RerankedBlocks, RerankedBlocks]:
    """Return how both stages rank both ways, from the scores of each, float32 (n, m)."""
    looks = sparse.csr_array(second), sparse.csr_array(second.T)
    by_image, by_text = scores_both_ways(first)
    return (
        RerankedBlocks(by_image, looks[0], weight, DEPTH),
        RerankedBlocks(by_text, looks[1], weight, DEPTH),
    )


def first_pictures(ways: BothWays) -> NDArray[np.int64]:
    """Return the first pictures of each text, int64 (m, FOUND)."""
    return np.concatenate(
        [np.argsort(-scores, axis=1, kind="stable")[:, :FOUND] for _, scores in ways[1]]
    )


TRAIN, DEV, TEST = "train", "dev", "test"
"""Learnt from, chosen by, measured on."""


@dataclass(frozen=True, eq=False)
class TextTokens:
    """What gives tokens, and those of each part's texts."""

    reader: TextReader
    tokens: Mapping[str, Tokens]


@dataclass(frozen=True, eq=False)
class MklVisitaBench:
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
        seed = self.config.seed
        return {
            DEV: draw_pairs(self.truth[DEV], seed=seed),
            TEST: pairs_to_measure(self.truth[TEST], seed=seed),
        }

    @cached_property
    def groups(self) -> Groups:
        """What is drawn together when the measured pictures are resampled."""
        return components(self.truth[TEST])

    @cached_property
    def seen(self) -> Overlap:
        """Which measured pictures are among those that are learnt from or chosen by, too."""
        known = Seen(*(identities(self.pairs(part).image_paths) for part in (TRAIN, DEV)))
        return known.among(identities(self.pairs(TEST).image_paths))

    def pooled(self, part: str, config: FusionConfig) -> PairTensors:
        """Return what the first stage learns from or embeds."""
        return PairTensors.of(self.parts[part], config.recipe())

    def words(self, config: CrossModalConfig) -> TextTokens:
        """Return what the second stage reads of the texts."""
        return self._pretrained if config.text_side == "pretrained" else self._vocabulary

    def cross(self, part: str, config: CrossModalConfig) -> CrossTensors:
        """Return what the second stage learns from, its views too, or scores."""
        tensors = _cross(self.parts[part], config, self.words(config).tokens[part])
        if part != TRAIN:
            return tensors
        return with_views(tensors, self.pairs(part), config, self.folder)

    def validated(self, config: CrossModalConfig) -> CrossTensors:
        """Return what chooses the second stage's epoch: some pictures of dev, with their texts."""
        few = self.parts[DEV].of_images(self.pairs(DEV).some_images(VALIDATED, config.seed))
        return _cross(few, config, self.words(config).reader.tokens(few.pairs.texts))

    @cached_property
    def _pretrained(self) -> TextTokens:
        return self._read_by(token_encoder(self.config.second))

    @cached_property
    def _vocabulary(self) -> TextTokens:
        second = self.config.second
        texts = self.pairs(TRAIN).texts
        return self._read_by(Vocabulary.fit(texts, second.vocabulary, second.longest))

    def _read_by(self, reader: TextReader) -> TextTokens:
        return TextTokens(
            reader, {part: reader.tokens(self.pairs(part).texts) for part in self.parts}
        )

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
) -> MklVisitaBench:
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
    for variant in augmented:
        for _ in view_features(parts[TRAIN].pairs, variant.recipe(), variant.views, folder):
            pass  # kept in the store, so that no cell's time has them
    return MklVisitaBench(parts, text, config, folder)
