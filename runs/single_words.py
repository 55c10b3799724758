"""How well P(shows) tells the pictures of single words, and fitting it anew without training.

python runs/single_words.py --data flickr8k:PATH --travel coco:PATH [MATCHER ...]
    [--work DIR] [--calibrate] [--out docs/results/single-words.md]

MATCHER is a name or a folder. What is said of a noun and a picture is cross-fitted: by numbers from
the other half of the nouns and of dev's pictures. Where DIR is given, 700 pictures of train teach
two matchers more there, as ``train fusion`` does with and without ``--from visita-small``, and
``fuse`` makes one of these two; what these say themselves is measured. ``--calibrate`` first learns
on train what words name, for each MATCHER that is a folder, fits its numbers on dev, and saves
both: its vectors stay what they are.
"""

import argparse
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

import visita
from visita.data import PairSet, open_pairs
from visita.data.pairs import split_by_component
from visita.evaluation import fit_keyword_calibration, reliability
from visita.evaluation.intervals import Estimate, estimates
from visita.evaluation.keywords import Words
from visita.evaluation.measure import features_for, vectors
from visita.store.extract import picture_features
from visita.training.calibrate import learn_words, words_on
from visita.types import FloatArray, Matcher

SHIPPED = ("visita-small", "visita-base")
NOUNS = 50
TAUGHT = 700
SURE = 0.5
SEED = 0


@dataclass(frozen=True)
class Row:
    """What one matcher reaches on some pictures."""

    name: str
    nouns: int
    metrics: tuple[Estimate, ...]

    def __str__(self) -> str:
        """Return a line of the table."""
        cells = [f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]" for one in self.metrics]
        return f"| {self.name} | {self.nouns} | {' | '.join(cells)} |"


def main() -> None:
    """Fit where that is asked, measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("matchers", nargs="*", default=SHIPPED)
    parser.add_argument("--data", required=True)
    parser.add_argument("--travel", required=True)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    pairs, travel = open_pairs(options.data), open_pairs(options.travel)
    dev = pairs.take("dev")
    rows = []
    for name in options.matchers:
        if options.calibrate:
            calibrate(Path(name), pairs)
        matcher = visita.load(name)
        on_dev, elsewhere = words_of(matcher, dev), words_of(matcher, travel, least=3)
        rows.append(measured(f"{matcher.name}, dev", on_dev, cross_fitted(on_dev)))
        fitted = fit_keyword_calibration(on_dev).probability(elsewhere.scores, elsewhere.usual)
        rows.append(measured(f"{matcher.name}, coco80", elsewhere, fitted))
    for name, folder in trained(pairs, options.work).items() if options.work else ():
        matcher = visita.load(folder)
        on_dev = words_of(matcher, dev)
        rows.append(measured(f"{name}, dev", on_dev, said_by(matcher, on_dev)))
    page = "\n".join([*HEAD, *map(str, rows), ""])
    print(page)
    if options.out:
        options.out.write_text(page, encoding="utf-8")


def trained(pairs: PairSet, work: Path) -> dict[str, Path]:
    """Return three matchers that some of train teach, by name, taught unless they are there."""
    train = pairs.take("train")
    rng = np.random.default_rng(SEED)
    own = train.subset(np.sort(rng.choice(len(train.image_ids), TAUGHT, replace=False)))
    image_split, text_split = split_by_component(own.truth, (0.8, 0.2, 0.0), SEED)
    own = replace(own, image_split=image_split, text_split=text_split)
    found = {
        "train fusion": work / "fusion",
        "train fusion --from": work / "adapted",
        "fuse": work / "fused",
    }
    if not found["train fusion"].is_dir():
        visita.train(own, found["train fusion"])
    if not found["train fusion --from"].is_dir():
        visita.adapt("visita-small", own, found["train fusion --from"])
    if not found["fuse"].is_dir():
        visita.fuse([work / "fusion", work / "adapted"], own, found["fuse"])
    return found


def words_of(matcher: Matcher, pairs: PairSet, least: int = 5) -> Words:
    """Return the nouns of the captions with their scores, which vectors give."""
    first = matcher.retriever
    features = features_for(first, pairs, None)
    return words_on(first, features.pairs, vectors(first, features)[0], least=least)


def calibrate(folder: Path, pairs: PairSet) -> None:
    """Learn what words name and fit P(shows) anew, and save them; no vector changes."""
    matcher: Any = visita.load(folder)
    first: Any = matcher.retriever
    seen, columns = picture_features(pairs.take("train"), first.recipe)
    images = first.embed_images(columns)
    first = replace(first, words=learn_words(first, seen, images))
    shows = fit_keyword_calibration(words_of(first, pairs.take("dev")))
    fitted = first = replace(first, keyword_calibration=shows)
    if matcher.reranker:
        fitted = replace(matcher, first=first, keyword_calibration=shows)
    assert fitted.fingerprint() == matcher.fingerprint()
    with tempfile.TemporaryDirectory() as drawn:
        curve = shutil.copy(folder / "curve.png", drawn)
        fitted.save(folder, beside=lambda draft: shutil.copy(curve, draft / "curve.png"))


def cross_fitted(words: Words) -> FloatArray:
    """Return what is said of each noun and picture by numbers from others, (words, n)."""
    rng = np.random.default_rng(SEED)
    nouns, images = (rng.permutation(size) % 2 for size in words.scores.shape)
    found = np.empty(words.scores.shape, np.float32)
    for half in (0, 1):
        for side in (0, 1):
            fitted = fit_keyword_calibration(words.part(nouns != half, images != side))
            own = words.part(nouns == half, images == side)
            place = np.ix_(nouns == half, images == side)
            found[place] = fitted.probability(own.scores, own.usual)
    return found


def said_by(matcher: Matcher, words: Words) -> FloatArray:
    """Return what a matcher itself says of each noun and picture, (words, n)."""
    texts = matcher.embed_texts(matcher.open_text_encoder().encode(words.nouns))
    texts = texts if matcher.words is None else matcher.words(texts)
    rows = [
        matcher.probability(scores, len(scores), keywords=text)
        for scores, text in zip(words.scores, texts, strict=True)
    ]
    return np.stack([row for row in rows if row is not None])


def measured(name: str, words: Words, said: FloatArray) -> Row:
    """Return how the most frequent nouns are found and how sure that is, in percent."""
    said, held = said[:NOUNS], words.held[:NOUNS]
    found = said >= SURE
    columns = np.stack(
        [(found & (held > 1)).sum(1), (held > 1).sum(1), (found & (held > 0)).sum(1), found.sum(1)]
    ).astype(np.float64)
    recalls = columns[0] / columns[1]
    pairs = zip(held > 1, words.scores, strict=False)
    precisions = np.array([average_precision_score(shown, scores) for shown, scores in pairs])

    def statistic(weights: Any) -> Any:
        right, shown, named, all_found = columns @ weights.T
        mean = recalls @ weights.T / weights.sum(axis=1)
        order = precisions @ weights.T / weights.sum(axis=1)
        values = [order, mean, right / shown, named / np.maximum(all_found, 1)]
        errors = [[_error(said, held >= least, one) for one in weights] for least in (1, 2)]
        return 100 * np.stack([*values, *(np.array(one) / 100 for one in errors)], axis=1)

    return Row(name, len(said), tuple(estimates(statistic, len(said), seed=SEED, resamples=200)))


def _error(said: FloatArray, labels: Any, weights: Any) -> float:
    rows = np.repeat(np.arange(len(said)), weights.astype(int))
    return float(reliability(said[rows].ravel(), labels[rows].ravel())["error"])


HEAD = f"""# Single words: does a picture show it?

Written by `runs/single_words.py`: the {NOUNS} nouns that most pictures show, or all where there are
fewer. A picture shows a noun if two of its captions have it. *mAP* is of the order. *Recall* is
the part of those with a probability of one half or more, as the mean over nouns and of all
together; *precision* the part of all with such a probability that have the noun in a caption.
*Error* is the expected calibration error over all nouns and pictures, in points, where one caption
counts and where two are asked for. 95 % intervals are over nouns. What words name is learnt on
train. On dev, what is said of a noun and a picture is cross-fitted: it comes from the other half
of the nouns and of the pictures. On coco80 it is fitted on dev. What `train fusion` makes of
{TAUGHT} pictures of train, and `fuse` of both, is as they say it themselves.

| | nouns | mAP | recall, mean | recall, all | precision, all | error, one caption | error, two |
|---|--:|---|---|---|---|---|---|""".split("\n")

if __name__ == "__main__":
    main()
