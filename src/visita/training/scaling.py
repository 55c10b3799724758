"""Giving a trained matcher local scaling: its bank, and whether it is of use."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.matchers.combine import ScaledMatcher, nearness
from visita.matchers.embed import JointMatcher
from visita.training.config import FusionConfig
from visita.training.tensors import PairTensors, Spans
from visita.training.tuning import Validate, Vectors, embed
from visita.types import Matcher
from visita.vectors import in_bytes

BANK = 2000
"""Pictures, with a text each, that a bank has at most: 2 MB with vectors of 512 numbers."""
A_NEIGHBOUR = 50
"""Pictures of the bank for one neighbour, where it is small."""
FARTHEST = 0.01
"""Share of dev's pictures and texts that are so far from all that they count as equally far."""
LEAST = 0.01
"""Nearness of what is near to nothing at all; keeps lengths above 0."""

Found = TypeVar("Found", bound=Matcher)


def bank_rows(truth: sparse.csr_array, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return rows of images for a bank, drawn, and of one text of each, int64 (b,) both.

    Parameters
    ----------
    truth : csr bool (n, m)
        An image without a text is not drawn.
    """
    rng = np.random.default_rng(seed)
    images = np.sort(rng.permutation(np.flatnonzero(np.diff(truth.indptr)))[:BANK])
    chosen = rng.integers(truth.indptr[images], truth.indptr[images + 1])
    return images.astype(np.int64), truth.indices[chosen].astype(np.int64)


def filled(own: Vectors, other: Vectors, seed: int) -> Vectors:
    """Return a bank with all of ``own`` and, drawn, as many of another's pairs as find room."""
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(other[0]))[: BANK - len(own[0])])
    images, texts = (
        np.concatenate([mine, theirs[rows]]) for mine, theirs in zip(own, other, strict=True)
    )
    return images, texts


def bank_of(train: PairTensors, seed: int) -> PairTensors:
    """Return the pairs of a bank, picture i with text i."""
    images, texts = bank_rows(train.truth, seed)
    return PairTensors(
        train.images[images], train.texts[texts], train.truth[images][:, texts].tocsr()
    )


def scaled_on(
    found: JointMatcher,
    train: PairTensors,
    dev: PairTensors,
    validate: Validate,
    config: FusionConfig,
) -> JointMatcher | ScaledMatcher:
    """Return what was trained on ``train``, some of which is the bank, as ``locally_scaled``."""
    own = vectors_of(found, bank_of(train, config.seed)), vectors_of(found, dev)
    return locally_scaled(found, *own, validate, config.neighbours)


def vectors_of(matcher: JointMatcher | ScaledMatcher, pairs: PairTensors) -> Vectors:
    """Return a matcher's vectors of images (n, d) and texts (m, d) from stacked features."""
    space = matcher.unscaled.network()
    vectors = embed(space, pairs, Spans.whole(space.image_features, space.text_features))
    return matcher.lengthened(*vectors)


def locally_scaled(
    matcher: Found, bank: Vectors, dev: Vectors, validate: Validate, neighbours: int
) -> Found | ScaledMatcher:
    """Return the matcher with local scaling, or as it is where that is not better on dev.

    Parameters
    ----------
    bank, dev
        The matcher's unit vectors of training pairs, and of dev.
    validate
        Maps vectors of dev to a number; higher is better.
    neighbours : int
        At most this many; of a small bank fewer. 0 leaves it out.
    """
    if neighbours == 0 or not len(bank[0]):
        return matcher
    scaled = scaled_by(matcher, bank, dev, neighbours)
    return scaled if validate(*scaled.lengthened(*dev)) > validate(*dev) else matcher


def scaled_by(matcher: Matcher, bank: Vectors, dev: Vectors, neighbours: int) -> ScaledMatcher:
    """Return the matcher with local scaling; for the parameters see ``locally_scaled``."""
    few = min(neighbours, max(1, len(bank[0]) // A_NEIGHBOUR))
    images, texts = (in_bytes(vectors) for vectors in bank)
    near = nearness(dev[0], bank[1], few), nearness(dev[1], bank[0], few)
    least = max(LEAST, float(np.quantile(np.concatenate(near), FARTHEST)))
    return ScaledMatcher(
        name=matcher.name, part=matcher, images=images, texts=texts, neighbours=few, least=least
    )
