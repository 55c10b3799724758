"""Several text encoders read as one: their vectors side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of
from visita.encoders.table import TEXT_ENCODERS
from visita.types import FloatArray, TextEncoder, TextFeatures


class JoinedText:
    """A ``TextEncoder`` of all that several ones give; of one alone, it is that one.

    Encoders that are alike but for their levels become one with all of these. A text has as
    many passages as the encoder that cuts it most often; the others, which cut it elsewhere,
    put their mean over the text into each, so that it stays the mean of the passages.

    Attributes
    ----------
    encoders : tuple of TextEncoder
        Each different from the others.
    """

    def __init__(self, encoders: Sequence[TextEncoder]) -> None:
        self.encoders = _distinct(encoders)
        alone = len(self.encoders) == 1
        self.name = "+".join(encoder.name for encoder in self.encoders)
        self.levels = tuple(
            level if alone else f"{encoder.name}/{level}"
            for encoder in self.encoders
            for level in encoder.levels
        )
        self.dim = sum(encoder.dim for encoder in self.encoders)

    @property
    def languages(self) -> tuple[str, ...] | None:
        """Those that all know; an encoder of any language knows all."""
        languages = [
            set(encoder.languages) for encoder in self.encoders if encoder.languages is not None
        ]
        return tuple(sorted(set.intersection(*languages))) if languages else None

    def fingerprint(self) -> str:
        """Return a hash over the encoders' fingerprints."""
        fingerprints = [encoder.fingerprint() for encoder in self.encoders]
        return fingerprints[0] if len(fingerprints) == 1 else fingerprint_of(fingerprints)

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        """Return the vectors of all encoders side by side, float32 (p, dim)."""
        return side_by_side([encoder.encode(texts) for encoder in self.encoders])

    def select(self, features: TextFeatures, encoder: TextEncoder) -> TextFeatures:
        """Return what ``encoder``, one of those that were joined, would give, from ``features``."""
        start = 0
        for member in self.encoders:
            if member.fingerprint() == encoder.fingerprint():
                break
            start += member.dim
        width = member.dim // len(member.levels)
        firsts = [start + width * member.levels.index(level) for level in encoder.levels]
        columns = np.concatenate([np.arange(first, first + width) for first in firsts])
        return TextFeatures(features.offsets, features.vectors[:, columns])


def side_by_side(features: Sequence[TextFeatures]) -> TextFeatures:
    """Return the features of the same texts by several encoders as those of a ``JoinedText``."""
    if len(features) == 1:
        return features[0]
    counts = np.stack([np.diff(part.offsets) for part in features])
    most = counts.max(axis=0)
    offsets = np.concatenate([[0], np.cumsum(most)]).astype(np.int64)
    spread = [_spread(part, own, most) for part, own in zip(features, counts, strict=True)]
    return TextFeatures(offsets, np.concatenate(spread, axis=1))


def _spread(
    features: TextFeatures, counts: NDArray[np.int64], most: NDArray[np.int64]
) -> FloatArray:
    """Return (sum of ``most``, d): a text's own passages where they are as many, else its mean."""
    vectors = np.repeat(features.pooled(), most, axis=0)
    full = counts == most
    vectors[np.repeat(full, most)] = features.vectors[np.repeat(full, counts)]
    return vectors


def _distinct(encoders: Sequence[TextEncoder]) -> tuple[TextEncoder, ...]:
    # The one with most levels comes first: mostly it has all, and its features are known.
    distinct: dict[str, TextEncoder] = {}
    for encoder in sorted(encoders, key=lambda encoder: -len(encoder.levels)):
        first = distinct.setdefault(encoder.fingerprint(), encoder)
        further = [level for level in encoder.levels if level not in first.levels]
        if further:
            levels = (*first.levels, *further)
            distinct[encoder.fingerprint()] = TEXT_ENCODERS.load(encoder.name)(levels)
    return tuple(distinct.values())
