"""Which pictures an experiment learns from, chooses by and measures on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from visita.arguments import one_of
from visita.data.pairs import SPLITS, PairSet, split_by_component
from visita.errors import ConfigError


def rearranged(pairs: PairSet, split: str, seed: int) -> PairSet:
    """Return the pairs with ``split`` as test; where that was dev, a tenth of train becomes dev.

    So the pictures that are measured never choose an epoch.

    Raises
    ------
    ConfigError
        If ``split`` is train, or unknown.
    DataError
        If a split is empty.
    """
    if one_of(split, "split", SPLITS) == "train":
        raise ConfigError("Measure on dev or on test; 'train' is what was learnt from.")
    if split == "test":
        return pairs.subset(np.arange(len(pairs.image_ids)))  # without texts that match nothing
    pairs = pairs.subset(np.flatnonzero(pairs.image_split != "test"))
    chosen, read = split_by_component(pairs.take("train").truth, (0.9, 0.1, 0.0), seed)
    images, texts = (np.where(s == "dev", "test", s) for s in (pairs.image_split, pairs.text_split))
    images[images == "train"], texts[texts == "train"] = chosen, read
    return replace(pairs, image_split=images, text_split=texts)
