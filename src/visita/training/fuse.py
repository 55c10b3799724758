"""Fusing several matchers into one, with weights learnt on dev."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from visita.arguments import listed, whole
from visita.artifact import check_free
from visita.brief import Brief
from visita.data import Data, PairSet, open_pairs
from visita.data.join import interchangeable
from visita.data.pairs import HALVED, check_enough
from visita.encoders.joined_text import JoinedText
from visita.errors import ConfigError
from visita.evaluation import Estimate, retrieval
from visita.evaluation.blocks import Truth
from visita.evaluation.measure import TOPICS_FROM, caveats
from visita.kernels.weights import reduction, second_moments
from visita.matchers import GIVEN, MATCHERS, opened
from visita.matchers.fused import FusedMatcher
from visita.matchers.rerank import first_stage
from visita.progress import say
from visita.report import Bars
from visita.report.figures import FORMATS, save_bars
from visita.store.extract import PairFeatures, pair_features
from visita.training.calibrate import calibrate, caveats_on_words, learn_words, provenance
from visita.training.learn import report_on
from visita.training.similarities import (
    NAMINGS,
    Fusion,
    Naming,
    learn_weights,
    naming_matcher,
    rsum_gain,
)
from visita.training.tensors import PairTensors
from visita.types import FloatArray, Matcher, Recipe
from visita.vectors import join

MAX_DIM = 1024
MOST_DEV = 1000
"""Dev images that weights are learnt on; of more, so many are drawn."""
MOST_TRAIN = 5000
"""Train images that means, words and a shorter vector are learnt on."""
Vectors = tuple[list[FloatArray], list[FloatArray]]
"""Of images and of texts, by each part."""


@dataclass(frozen=True, repr=False)
class Fused(Brief):
    """A fused matcher, where it is saved, and what is to be said about it.

    Attributes
    ----------
    fusion : dict
        ``parts``: each one's name, weight with interval, and rsum alone; ``best``: the best
        alone; ``fused``: the rsum of all, weights cross-fitted; ``gain``: its difference from
        the best's; ``holds``: whether the gain is above zero with its whole interval, as else
        only the best is kept; ``shortened``: None, or from and to how many numbers, and what
        it costs in rsum.
    report : dict
        ``evaluate`` on dev, which also chose the weights: a little too good.
    warnings : list of str
    seconds : float
        Learning, features at hand.
    """

    matcher: FusedMatcher
    folder: Path
    fusion: dict[str, Any]
    report: dict[str, Any]
    warnings: list[str]
    seconds: float


def fuse(
    matchers: Sequence[Matcher | str | Path],
    data: Data,
    out: str | Path,
    *,
    dim: int = MAX_DIM,
    plot: str | Path | None = None,
    seed: int = 0,
) -> Fused:
    """Fuse matchers into one whose score is the weighted sum of theirs, and save it in ``out``.

    Weights and probabilities are learnt on dev, and on train what single words name. Unless the
    fusion is better than its best part for sure (cross-fitted, 95 %), that part alone is kept.
    Only vectors are added up: of a matcher with two stages the first takes part, and stderr says
    so.

    Parameters
    ----------
    matchers
        Two or more: as for ``load``, or "class-names" or "colour", which learn only means.
    dim : int
        At most 1,024. Longer vectors are shortened to this, by SVD on train.
    plot
        A file, .png, .svg or .pdf, for a drawing of the weights with their intervals.

    Raises
    ------
    ConfigError
        If there are fewer than two matchers, one is given twice, ``dim`` is out of range, or
        ``plot`` is of another kind.
    DataError
        If dev is too small, or train is needed and empty.
    """
    names, given = _opened(matchers, dim)
    drawing = Path(plot) if plot else None
    if drawing and drawing.suffix not in FORMATS:
        raise ConfigError(f"A plot is a file ending in {', '.join(FORMATS)}, unlike {drawing}.")
    check_free(Path(out).resolve())
    pairs = open_pairs(data, seed=seed)
    check_enough(pairs, {"dev": HALVED}, "Fusing")
    read = _read(given, pairs, dim, seed)

    started = time.perf_counter()
    parts = [
        naming_matcher(name, one, read.train_tensors(one)) if isinstance(one, Naming) else one
        for name, one in zip(names, given, strict=True)
    ]
    vectors, truth = read.vectors(parts, read.dev), read.dev.pairs.truth.tocsr()
    found = learn_weights(*vectors, truth, seed=seed)
    kept = [number for number, weight in enumerate(found.chosen()) if weight > 0]
    matcher = FusedMatcher(
        name=Path(out).resolve().name,
        parts=tuple(parts[number] for number in kept),
        weights=tuple(found.chosen()[number] for number in kept),
    )
    own = [vectors[0][number] for number in kept], [vectors[1][number] for number in kept]
    matcher, shortened = _shortened(matcher, own, truth, read, dim, seed)
    if read.train:
        shown = matcher.embed_images(read.train.columns)
        matcher = replace(matcher, words=learn_words(matcher, read.train.pairs, shown))
    embedded = matcher.fuse(own[0]), matcher.fuse(own[1])
    numbers = {**_numbers(names, parts, found), "shortened": shortened}
    matcher = replace(
        matcher,
        facts={
            "config": {"dim": dim, "seed": seed},
            "fusion": numbers,
            **provenance(pairs),
            **_too_good(matcher.parts),
        },
        **calibrate(matcher, read.dev.pairs, embedded, seed),
    )
    report = report_on(matcher, read.dev, embedded, seed)
    seconds = time.perf_counter() - started
    matcher.save(Path(out))
    if drawing:
        save_bars(_bars(names, found), drawing)
    warnings = [*caveats(matcher), *caveats_on_words(matcher)]
    return Fused(matcher, Path(out), numbers, report, warnings, seconds)


def _opened(
    matchers: Sequence[Matcher | str | Path], dim: int
) -> tuple[list[str], list[Matcher | Naming]]:
    """Return what is to be fused, and what each was called."""
    matchers = listed(matchers, GIVEN, MATCHERS)
    if len(matchers) < 2:
        raise ConfigError("Fusing needs two matchers or more, such as a second one or class-names.")
    whole(dim, "dim", 1, MAX_DIM)
    names = [str(one) if isinstance(one, str | Path) else one.name for one in matchers]
    given = [NAMINGS.get(str(one)) or _vectors_of(opened(one)) for one in matchers]
    marks = [
        name if isinstance(one, Naming) else one.fingerprint()
        for name, one in zip(names, given, strict=True)
    ]
    twice = [name for name, mark in zip(names, marks, strict=True) if marks.count(mark) > 1]
    if twice:
        raise ConfigError(f"The same matcher is given twice, as {' and '.join(twice)}.")
    return names, given


def _vectors_of(matcher: Matcher) -> Matcher:
    first = first_stage(matcher)
    if first is not matcher:
        say(f"{matcher.name} has two stages: its first is fused, the second is left out")
    return first


@dataclass(frozen=True)
class _Read:
    """Features of dev and of train: means, a shorter vector and words are learnt on train."""

    text: JoinedText
    dev: PairFeatures
    train: PairFeatures | None

    def vectors(self, parts: Sequence[Matcher], features: PairFeatures) -> Vectors:
        texts = [self.text.select(features.texts, part.open_text_encoder()) for part in parts]
        return (
            [part.embed_images(features.columns) for part in parts],
            [part.embed_texts(one) for part, one in zip(parts, texts, strict=True)],
        )

    def train_tensors(self, naming: Naming) -> PairTensors:
        assert self.train is not None  # it is read where there is a naming
        texts = self.text.select(self.train.texts, naming.open_text_encoder())
        return PairTensors.of(replace(self.train, texts=texts), naming.recipe)


def _read(given: Sequence[Matcher | Naming], pairs: PairSet, dim: int, seed: int) -> _Read:
    recipe = Recipe.union(one.recipe for one in given)
    text = JoinedText([one.open_text_encoder() for one in given])
    dev = pair_features(interchangeable(_some(pairs, "dev", MOST_DEV, seed)), recipe, text)
    learns = any(isinstance(one, Naming) for one in given) or sum(one.dim for one in given) > dim
    train = None
    if learns or pairs.splits()["train"]:
        train = pair_features(_some(pairs, "train", MOST_TRAIN, seed), recipe, text)
    return _Read(text, dev, train)


def _some(pairs: PairSet, split: str, most: int, seed: int) -> PairSet:
    whole = pairs.take(split)
    count = len(whole.image_ids)
    if count <= most:
        return whole
    return whole.subset(np.sort(np.random.default_rng(seed).choice(count, most, replace=False)))


def _shortened(
    matcher: FusedMatcher, vectors: Vectors, truth: Truth, read: _Read, dim: int, seed: int
) -> tuple[FusedMatcher, dict[str, Any] | None]:
    """Return the matcher with at most ``dim`` numbers a vector, and what that costs on dev."""
    if matcher.dim <= dim:
        return matcher, None
    assert read.train is not None  # it is read where vectors may be too long
    images, texts = (
        second_moments([join(side, matcher.weights)])
        for side in read.vectors(matcher.parts, read.train)
    )
    short = replace(matcher, basis=reduction(images, texts, dim).astype(np.float16))
    before, after = (
        retrieval(one.fuse(vectors[0]), one.fuse(vectors[1]), truth, seed=seed)
        for one in (matcher, short)
    )
    cost = rsum_gain(before, after, seed=seed)
    return short, {"from": matcher.dim, "to": dim, "rsum": asdict(cost)}


def _numbers(names: Sequence[str], parts: Sequence[Matcher], found: Fusion) -> dict[str, Any]:
    return {
        "parts": [
            {
                "name": name,
                "fingerprint": part.fingerprint(),
                "weight": weight.to_dict(),
                "rsum": alone.rsum.to_dict(),
            }
            for name, part, weight, alone in zip(
                names, parts, found.weights, found.alone, strict=True
            )
        ],
        "best": names[found.best],
        "fused": found.fused.rsum.to_dict(),
        "gain": asdict(found.gain),
        "holds": found.holds,
    }


def _bars(names: Sequence[str], found: Fusion) -> Bars:
    percent = [Estimate(100 * one.value, 100 * one.low, 100 * one.high) for one in found.weights]
    return Bars("Weights", "", "weight, %", dict(zip(names, percent, strict=True)))


def _too_good(parts: Sequence[Matcher]) -> dict[str, str]:
    """Return the fact that makes the numbers of the whole as much too good as a part's."""
    return {TOPICS_FROM: "all"} if any(p.facts.get(TOPICS_FROM) == "all" for p in parts) else {}
