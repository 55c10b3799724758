"""Fusing several matchers into one, with weights learnt on dev.

Dev both chooses and reports, so the gain over the best matcher alone is cross-fitted: the weights
for one half of the images are learnt on the other, and every query is ranked against the whole
gallery.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from visita.arguments import listed, whole
from visita.brief import Brief
from visita.data import Data, PairSet
from visita.data.join import interchangeable
from visita.data.pairs import HALVED
from visita.encoders.joined_text import JoinedText
from visita.errors import ConfigError
from visita.evaluation import Estimate, retrieval
from visita.evaluation.blocks import Truth
from visita.evaluation.measure import TOPICS_FROM, caveats
from visita.kernels.weights import reduction, second_moments
from visita.matchers import GIVEN, MATCHERS, opened
from visita.matchers.combine import FusedMatcher
from visita.progress import say
from visita.report import Bars
from visita.report.figures import FORMATS, save_bars
from visita.store.extract import PairFeatures, pair_features
from visita.training.calibrate import calibrated, caveats_on_words, learn_words, provenance
from visita.training.fusion import CONCEPTS, Concepts, concept_matcher
from visita.training.tensors import PairTensors
from visita.training.train import Run
from visita.training.weights import LearntWeights, learn_weights, rsum_gain
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
    """A fused matcher, where it is saved, and its numbers and warnings.

    Attributes
    ----------
    fusion : dict
        ``parts``: each one's name, weight with interval, and rsum alone; ``best``: the best
        alone; ``fused``: the rsum of all, weights cross-fitted; ``gain``: its difference from
        the best's; ``holds``: whether the gain is above zero with its whole interval, as else
        only the best is kept; ``shortened``: None, or from and to how many numbers, and what
        it costs in rsum.
    report : dict
        ``evaluate`` on dev, which also chose the weights: slightly optimistic.
    warnings : list of str
    seconds : float
        Learning, features at hand.

    Examples
    --------
    >>> fused = visita.fuse(["class-names", "colour"], "folder:mypairs", "again")
    >>> [part["name"] for part in fused.fusion["parts"]]
    ['class-names', 'colour']
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
    whole 95 % interval of the cross-fitted gain is above zero, only the best part is kept.
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

    Examples
    --------
    >>> fused = visita.fuse(["class-names", "colour"], "folder:mypairs", "both")
    >>> fused.folder.name, fused.fusion["best"]
    ('both', 'colour')
    """
    names, sources = _opened(matchers, dim)
    drawing = Path(plot) if plot else None
    if drawing and drawing.suffix not in FORMATS:
        raise ConfigError(f"A plot is a file ending in {', '.join(FORMATS)}, unlike {drawing}.")
    run = Run.begin(data, out, seed, least={"dev": HALVED}, doing="Fusing")
    read = _read(sources, run.pairs, dim, seed)
    seen = run.seen

    started = time.perf_counter()
    parts = [read.matcher(name, part) for name, part in zip(names, sources, strict=True)]
    vectors, truth = read.vectors(parts, read.dev), read.dev.pairs.truth.tocsr()
    learnt = learn_weights(*vectors, truth, seed=seed)
    chosen = [number for number, weight in enumerate(learnt.chosen()) if weight > 0]
    weights = tuple(learnt.chosen()[number] for number in chosen)
    matcher = FusedMatcher(name=run.name, parts=tuple(parts[n] for n in chosen), weights=weights)
    own = [vectors[0][number] for number in chosen], [vectors[1][number] for number in chosen]
    matcher, shortened = _shortened(matcher, own, truth, read, dim, seed)
    if read.train:
        shown = matcher.embed_images(read.train.columns)
        matcher = replace(matcher, words=learn_words(matcher, read.train.pairs, shown))
    embedded = matcher.fuse(own[0]), matcher.fuse(own[1])
    numbers = {**_numbers(names, parts, learnt), "shortened": shortened}
    recorded = {"config": {"dim": dim, "seed": seed}, "fusion": numbers}
    facts = {**recorded, **provenance(run.pairs), **_too_good(matcher.parts)}
    matcher, report = calibrated(matcher, read.dev, embedded, seed, facts)
    seconds = time.perf_counter() - started
    for part in matcher.parts:
        seen = seen.joined(part.seen)
    matcher = replace(matcher, seen=seen)
    matcher.save(run.out)
    if drawing:
        save_bars(_bars(names, learnt), drawing)
    warnings = [*caveats(matcher), *caveats_on_words(matcher)]
    return Fused(matcher, run.out, numbers, report, warnings, seconds)


def _opened(
    matchers: Sequence[Matcher | str | Path], dim: int
) -> tuple[list[str], list[Matcher | Concepts]]:
    """Return what is to be fused, and what each was called."""
    matchers = listed(matchers, GIVEN, MATCHERS)
    if len(matchers) < 2:
        raise ConfigError("Fusing needs two matchers or more, such as a second one or class-names.")
    whole(dim, "dim", 1, MAX_DIM)
    names = [
        str(matcher) if isinstance(matcher, str | Path) else matcher.name for matcher in matchers
    ]
    sources = [CONCEPTS.get(str(matcher)) or _vectors_of(opened(matcher)) for matcher in matchers]
    marks = [part.fingerprint() for part in sources]
    twice = [name for name, mark in zip(names, marks, strict=True) if marks.count(mark) > 1]
    if twice:
        raise ConfigError(f"The same matcher is given twice, as {' and '.join(twice)}.")
    return names, sources


def _vectors_of(matcher: Matcher) -> Matcher:
    first = matcher.retriever
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
            [part.embed_texts(rows) for part, rows in zip(parts, texts, strict=True)],
        )

    def matcher(self, name: str, part: Matcher | Concepts) -> Matcher:
        if not isinstance(part, Concepts):
            return part
        assert self.train is not None  # it is read where there are concepts
        texts = self.text.select(self.train.texts, part.open_text_encoder())
        train = PairTensors.of(replace(self.train, texts=texts), part.recipe)
        return concept_matcher(name, part, train)


def _read(sources: Sequence[Matcher | Concepts], pairs: PairSet, dim: int, seed: int) -> _Read:
    recipe = Recipe.union(part.recipe for part in sources)
    text = JoinedText([part.open_text_encoder() for part in sources])
    dev = pair_features(interchangeable(_drawn(pairs, "dev", MOST_DEV, seed)), recipe, text)
    concepts = any(isinstance(part, Concepts) for part in sources)
    train = None
    if concepts or sum(part.dim for part in sources) > dim or pairs.splits()["train"]:
        train = pair_features(_drawn(pairs, "train", MOST_TRAIN, seed), recipe, text)
    return _Read(text, dev, train)


def _drawn(pairs: PairSet, split: str, most: int, seed: int) -> PairSet:
    of_split = pairs.take(split)
    count = len(of_split.image_ids)
    if count <= most:
        return of_split
    return of_split.subset(np.sort(np.random.default_rng(seed).choice(count, most, replace=False)))


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
        retrieval(fused.fuse(vectors[0]), fused.fuse(vectors[1]), truth, seed=seed)
        for fused in (matcher, short)
    )
    cost = asdict(rsum_gain(before, after, seed))
    return short, {"from": matcher.dim, "to": dim, "rsum": cost}


def _numbers(
    names: Sequence[str], parts: Sequence[Matcher], learnt: LearntWeights
) -> dict[str, Any]:
    rows = zip(names, parts, learnt.weights, learnt.alone, strict=True)
    return {
        "parts": [
            {
                "name": name,
                "fingerprint": part.fingerprint(),
                "weight": weight.to_dict(),
                "rsum": alone.rsum.to_dict(),
            }
            for name, part, weight, alone in rows
        ],
        "best": names[learnt.best],
        "fused": learnt.fused.rsum.to_dict(),
        "gain": asdict(learnt.gain),
        "holds": learnt.holds,
    }


def _bars(names: Sequence[str], learnt: LearntWeights) -> Bars:
    percent = [
        Estimate(100 * weight.value, 100 * weight.low, 100 * weight.high)
        for weight in learnt.weights
    ]
    return Bars("Weights", "", "weight, %", dict(zip(names, percent, strict=True)))


def _too_good(parts: Sequence[Matcher]) -> dict[str, str]:
    """Return the fact that makes the numbers of the whole as much too good as a part's."""
    return {TOPICS_FROM: "all"} if any(p.facts.get(TOPICS_FROM) == "all" for p in parts) else {}
