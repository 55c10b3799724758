"""Whether probabilities hold where they were fitted, and abroad: Flickr8k dev and coco80.

python runs/abroad.py [MATCHER ...] --data flickr8k:PATH --travel coco:PATH
    [--work DIR] [--calibrate] [--out docs/results/probabilities.md]

On dev they are cross-fitted over halves of the images; for coco80 all of dev fits them. The draws
of galleries and of false pairs that fit are others than those that measure. ``--calibrate`` fits
those of matchers given as folders on dev first and saves them: no vector changes. DIR keeps what a
re-ranker says of all pairs, which takes minutes.
"""

import argparse
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from single_words import SHIPPED, cross_fitted, words_of

import visita
from visita.data import PairSet, open_pairs
from visita.evaluation import (
    fit_calibration,
    fit_keyword_calibration,
    fit_match_probability,
    fit_search_calibration,
    reliability,
)
from visita.evaluation.blocks import as_vectors
from visita.evaluation.calibrate import GalleryResults, VectorStage, draw_galleries, predict
from visita.evaluation.keywords import Words
from visita.evaluation.match_probability import features_of_pairs
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.pairs import LabelledPairs, draw_pairs
from visita.evaluation.rerank import RerankedPairs
from visita.training.calibrate import any_texts_of, calibrate_pairs
from visita.types import FloatArray

FITS, MEASURES = 0, range(1, 6)
"""Seeds of draws."""
SIZES = {"dev": (10, 100, 1000), "coco80": (10, 40, 80)}
RESAMPLES = 200


@dataclass(frozen=True)
class Place:
    """A matcher among the pictures of one place."""

    name: str
    matcher: Any
    pairs: PairSet
    work: Path | None

    @cached_property
    def _features(self) -> Any:
        return features_for(self.matcher, self.pairs, None)

    @cached_property
    def _scored(self) -> RerankedPairs:
        return RerankedPairs(self.matcher, self._features)

    @cached_property
    def truth(self) -> Any:
        """Which text is whose, csr bool (n, m)."""
        return self._features.pairs.truth.tocsr()

    @cached_property
    def vectors(self) -> tuple[FloatArray, FloatArray]:
        """By which is searched."""
        return vectors(self.matcher.retriever, self._features)

    @cached_property
    def embedded(self) -> tuple[FloatArray, FloatArray]:
        """Vectors whose inner products are the scores, by both stages where there are two."""
        return as_vectors(self._dense()) if self.matcher.reranker else self.vectors

    def _dense(self) -> FloatArray:
        if self.work is None:
            return self._scored.dense()
        kept = self.work / f"{self.matcher.fingerprint()}-{self.name}.npy"
        if not kept.is_file():
            np.save(kept, self._scored.dense())
        return np.asarray(np.load(kept), np.float32)

    def galleries(self, rows: NDArray[np.int64], size: int, seed: int) -> GalleryResults:
        """Return what some texts find in galleries of a size."""
        [drawn] = draw_galleries(
            self.embedded[0],
            self.embedded[1][rows],
            self.truth[:, rows],
            (size,),
            seed,
            self.stage.of_texts(rows),
        )
        return drawn

    @cached_property
    def stage(self) -> VectorStage:
        """The vectors, and those that stand for any."""
        return VectorStage(*self.vectors, self.matcher.background)

    def known(self, drawn: LabelledPairs, others: NDArray[Any] | None) -> NDArray[np.float64]:
        """Return the ``match_features`` of pairs."""
        first = replace(self.matcher.retriever, any_texts=others)
        if not self.matcher.reranker:
            return features_of_pairs(self.vectors, self.pairs.texts, drawn, others=others)
        return self._scored.by(replace(self.matcher, first=first)).match_features(drawn)


@dataclass(frozen=True)
class Said:
    """What was said of results or pairs, whether it was right, and whose: float, bool, int (r,)."""

    said: NDArray[Any]
    right: NDArray[np.bool_]
    groups: NDArray[np.int64]

    @classmethod
    def joined(cls, parts: Any) -> "Said":
        """Return several, one after the other."""
        rows = [(part.said, part.right, part.groups) for part in parts]
        return cls(*(np.concatenate(column) for column in zip(*rows, strict=True)))

    def __str__(self) -> str:
        """Return the error with its interval, what chance alone gives, and the two means."""
        error = _error(self.said, self.right)
        rng = np.random.default_rng(FITS)
        names, places = np.unique(self.groups, return_inverse=True)
        rows = [np.flatnonzero(places == place) for place in range(len(names))]
        drawn = [
            np.concatenate([rows[one] for one in rng.integers(len(rows), size=len(rows))])
            for _ in range(RESAMPLES)
        ]
        errors = [_error(self.said[one], self.right[one]) for one in drawn]
        # A resample is as far beyond the error as that is beyond the truth.
        high, low = np.maximum(2 * error - np.percentile(errors, (2.5, 97.5)), 0)
        chance = [_error(self.said, rng.random(len(names))[places] < self.said) for _ in range(20)]
        means = f"{100 * self.said.mean():.0f} / {100 * self.right.mean():.0f}"
        return f"{error:.1f} [{low:.1f}, {high:.1f}] | {np.mean(chance):.1f} | {means}"


def _error(said: NDArray[Any], right: NDArray[np.bool_]) -> float:
    return float(reliability(said, right)["error"])


def halves(place: Place) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Return the images that fit and those that measure, bool (n,), both ways."""
    first = np.random.default_rng(FITS).permutation(len(place.pairs.image_ids)) % 2 == 0
    return iter([(first, ~first), (~first, first)])


def texts_of(place: Place, images: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the rows of texts of some images."""
    return np.flatnonzero(place.truth.T @ images)


def by_standing(place: Place, rows: NDArray[np.int64]) -> Any:
    """Fit what is said of a search's results by what they stand among."""
    images, texts = place.embedded
    part = (images, texts[rows]), place.truth[:, rows], place.stage.of_texts(rows)
    return fit_search_calibration(*part, seed=FITS)


def by_score(place: Place, rows: NDArray[np.int64]) -> Any:
    """Fit what is said of a search's results by score and gallery size alone."""
    images, texts = place.embedded
    return fit_calibration(images, texts[rows], place.truth[:, rows], seed=FITS)


def said_first(place: Place, fitted: Any, rows: NDArray[np.int64], size: int, draws: Any) -> Said:
    """Return what is said of first results."""
    owners = place.truth[:, rows].toarray().argmax(axis=0)
    parts = []
    for seed in draws:
        results = place.galleries(rows, size, seed)
        parts.append(Said(predict(fitted, results).scores[:, 0], results.labels[:, 0], owners))
    return Said.joined(parts)


def searches(dev: Place, away: Place, fit: Callable[..., Any]) -> Iterator[str]:
    """Return the error of first results, place and size by size."""
    halved = [(fit(dev, texts_of(dev, a)), texts_of(dev, b)) for a, b in halves(dev)]
    for size in SIZES["dev"]:
        said = Said.joined(said_first(dev, one, rows, size, [1]) for one, rows in halved)
        yield f"dev, {size:,} pictures | {said}"
    whole = fit(dev, np.arange(len(dev.pairs.texts)))
    rows = np.arange(len(away.pairs.texts))
    for size in SIZES["coco80"]:
        yield f"coco80, {size} pictures | {said_first(away, whole, rows, size, MEASURES)}"


def pairs(dev: Place, away: Place, others: NDArray[Any] | None) -> Iterator[str]:
    """Return the error of pairs, place by place."""
    fits = draw_pairs(dev.truth, seed=FITS)
    known = dev.known(fits, others)
    for place, draws in ((dev, [1]), (away, MEASURES)):
        parts = []
        for seed in draws:
            drawn = draw_pairs(place.truth, seed=seed)
            features = place.known(drawn, others)
            said = fit_match_probability(known, fits.labels).of(features)
            for fitting, measured in halves(dev) if place is dev else ():
                own = fitting[fits.images]
                fitted = fit_match_probability(known[own], fits.labels[own])
                said = np.where(measured[drawn.images], fitted.of(features), said)
            parts.append(Said(said, drawn.labels, drawn.images))
        joined = Said.joined(parts)
        called = joined.said >= 0.5
        precision = 100 * joined.right[called].mean()
        recall = 100 * called[joined.right].mean()
        yield f"{place.name}, precision {precision:.1f}, recall {recall:.1f} | {joined}"


def single_words(dev: Place, away: Place) -> Iterator[str]:
    """Return the error of words: of every noun and picture, and of first results."""
    on_dev, elsewhere = words_of(dev.matcher, dev.pairs), words_of(away.matcher, away.pairs, 3)
    fitted = fit_keyword_calibration(on_dev).probability(elsewhere.scores, elsewhere.usual)
    found = ("dev", on_dev, cross_fitted(on_dev)), ("coco80", elsewhere, fitted)
    for name, words, said in found:
        right, nouns = words.held > 0, np.arange(len(words.nouns))
        groups = np.repeat(nouns, said.shape[1])
        yield f"pairs | {name} | {Said(said.ravel(), right.ravel(), groups)}"
        for size in SIZES[name]:
            yield f"first result | {name}, {size:,} pictures | {_first_of_words(words, said, size)}"


def _first_of_words(words: Words, said: FloatArray, size: int) -> Said:
    rng, parts, nouns = np.random.default_rng(FITS), [], np.arange(len(words.nouns))
    for _ in MEASURES:
        held = np.argsort(rng.random(said.shape), axis=1)[:, :size]
        best = held[nouns, np.take_along_axis(said, held, 1).argmax(axis=1)]
        parts.append(Said(said[nouns, best], words.held[nouns, best] > 0, nouns))
    return Said.joined(parts)


def calibrate(dev: Place, folder: Path) -> None:
    """Fit what a saved matcher says of searches and pairs anew, and save it; no vector changes."""
    matcher: Any = dev.matcher
    texts = any_texts_of(matcher.retriever)
    everything = np.arange(len(dev.pairs.texts))
    fields = {
        "search_calibration": by_standing(dev, everything),
        **calibrate_pairs(dev.pairs, lambda drawn: dev.known(drawn, texts), FITS),
    }
    if matcher.reranker:
        alone = replace(dev, matcher=matcher.first)
        of_first = {
            "search_calibration": by_standing(alone, everything),
            **calibrate_pairs(dev.pairs, lambda drawn: alone.known(drawn, texts), FITS),
        }
        fields["first"] = replace(matcher.first, any_texts=texts, **of_first)
    else:
        fields["any_texts"] = texts
    fitted: Any = replace(matcher, **fields)
    assert fitted.fingerprint() == matcher.fingerprint()
    with tempfile.TemporaryDirectory() as drawn:
        curve = shutil.copy(folder / "curve.png", drawn)
        fitted.save(folder, beside=lambda draft: shutil.copy(curve, draft / "curve.png"))


def lines(dev: Place, away: Place) -> Iterator[str]:
    """Return the lines of one matcher."""
    name, texts = dev.matcher.name, any_texts_of(dev.matcher.retriever)
    for way, fit in (("by the score", by_score), ("**by how it stands out**", by_standing)):
        for line in searches(dev, away, fit):
            yield f"| {name}: a sentence's first result, {way} | {line} |"
    for way, others in (("by the cosine", None), ("**by its height**", texts)):
        for line in pairs(dev, away, others):
            yield f"| {name}: a sentence and a picture, {way} | {line} |"
    for line in single_words(dev, away):
        yield f"| {name}: a word, {line} |"


def main() -> None:
    """Calibrate where that is asked, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("matchers", nargs="*", default=SHIPPED)
    parser.add_argument("--data", required=True)
    parser.add_argument("--travel", required=True)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    home, abroad = open_pairs(options.data).take("dev"), open_pairs(options.travel)
    found: list[str] = []
    for name in options.matchers:
        dev, away = (
            Place(place, visita.load(name), pairs, options.work)
            for place, pairs in (("dev", home), ("coco80", abroad))
        )
        if options.calibrate:
            calibrate(dev, Path(name))
        found += lines(dev, away)
        print("\n".join(found), flush=True)
    if options.out:
        options.out.write_text(HEAD + "\n".join([*found, ""]), encoding="utf-8")


HEAD = """\
# Probabilities at home and abroad

Written by `runs/abroad.py`. At home is Flickr8k dev, cross-fitted over halves of the images; abroad
is coco80, 80 pictures of MSCOCO with 400 captions, by what all of dev fits: nothing is fitted on
coco80, but which of the formulas tried is used was chosen on both. *Error* is the expected
calibration error in points over 15 bins, with a 95 % interval over pictures (over nouns for words).
*Chance* is what a perfect probability would show with so few pictures. *Said / true* are the means
in percent. First results of sentences are drawn as for fitting: half of the texts have their
picture in the gallery. A pair is one to one. An interval is corrected for what resampling adds to
an error, its bias, so it may lie below the error, which chance alone raises. A word is right where
one caption of the picture has it, so what captions leave out counts as wrong.

| | where | error | chance | said / true |
|---|---|---|--:|---|
"""

if __name__ == "__main__":
    main()
