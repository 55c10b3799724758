"""What all systems of a reproduction of MKL-VisITA learn from, choose by and are measured on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np

from visita.data.pairs import PairSet
from visita.encoders.table import TEXT_ENCODERS
from visita.encoders.vocabulary import Vocabulary
from visita.evaluation.blocks import Truth
from visita.evaluation.intervals import Groups, components
from visita.evaluation.pairs import LabelledPairs, draw_pairs
from visita.experiments.rearranged import rearranged
from visita.matchers.rescorer import stack_grids
from visita.store.altered import view_features
from visita.store.extract import PairFeatures, pair_features, text_features
from visita.training.config import CrossModalConfig, FusionConfig, MklVisitaConfig
from visita.training.cross_modal import CrossTensors, GridView, check_cross_modal
from visita.training.keywords import keyword_pairs
from visita.training.spans import level_widths
from visita.training.tensors import PairTensors
from visita.training.texts import text_encoder_of
from visita.types import Recipe, TextEncoder, TokenEncoder, Tokens

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
    pairs = rearranged(pairs, split, config.seed)
    text = text_encoder_of(first, pairs)
    recipe = Recipe.union([first.recipe(), second.recipe()])
    used = pair_features(pairs, recipe, text, folder)
    parts = {part: used.take(part) for part in (TRAIN, DEV, TEST)}
    for one in augmented:
        for _ in view_features(parts[TRAIN].pairs, one.recipe(), one.views, folder):
            pass  # kept in the store, so that no cell's time has them
    return Bench(parts, text, config, folder)
