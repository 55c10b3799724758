"""Recommending by what was chosen before, by the text itself, and by both.

python runs/recommendation.py --data flickr8k:PATH [--out docs/results/recommendation]

The past is Flickr8k's train split, the gallery its 1,000 dev pictures, the queries are dev
captions or articles made of them (``runs/long_texts.py``). Since visita-small was trained on
this past, *names* asks what it cannot know: the 250 commonest words of the captions that mean
something become invented ones, in the past (2,000 images) and in the queries alike.
Writes OUT.json and OUT.md.
"""

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from visita.data import PairSet, open_pairs
from visita.data.articles import articles
from visita.encoders.topics.lsa import LSA
from visita.evaluation import Ranks, best_ranks, cross_fitted_calibration_error, dot_blocks, hits
from visita.evaluation.blocks import Truth
from visita.evaluation.calibrate import draw_galleries, measure_results
from visita.evaluation.intervals import components, estimates, group_sums
from visita.evaluation.measure import features_for
from visita.matchers import load
from visita.search.collaborative import past_pictures, recommendations
from visita.search.passages import text_vectors
from visita.search.past import (
    LEAST_IMAGES,
    NEIGHBOURS,
    TOPICS,
    UNLEARNT_WEIGHT,
    PastArticles,
    choose_weight,
    combine,
    cross_fitted_gain,
    cross_fitted_ranks,
)
from visita.store.extract import PairFeatures, text_features
from visita.types import FloatArray, Matcher

CUTOFFS = (1, 5, 10)
SIZES = (10, 100, 1000)
LEVELS = {"fc": ("head:avg",), "fc+late": ("head:avg", "block19:max")}
"""The nearest that visita-small's features come to the paper's fc and fc+mixed9."""
SHIPPED = f"topics, {NEIGHBOURS} near"
NAMED_PAST = 2000
NAMED_WORDS = 250
COMMON = (
    "the and are with its his her from for that this while into their over near through one two "
    "three another other some out has have being who off down behind front next"
)
SYLLABLES = "zorbaklimtuvnexpragolwimdaxfepkoryulmibshavro"


@dataclass(frozen=True)
class Case:
    """Queries, what was before them, and the gallery."""

    queries: PairSet
    past: PairSet
    images: FloatArray
    past_images: FloatArray
    levels: dict[str, tuple[FloatArray, FloatArray]]
    """Features of past and gallery pictures."""


def main() -> None:
    """Measure every case and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results/recommendation"))
    options = parser.parse_args()
    matcher = load("visita-small")
    known = features_for(matcher, open_pairs(options.data), None)
    learnt, dev = known.take("train"), known.take("dev")
    plain = case(matcher, learnt, dev)
    few = plain.past.subset(np.arange(NAMED_PAST))
    names = invented(plain.past.texts)
    cases = {
        "captions": plain,
        "articles": remade(plain, plain.past, 0),
        "articles, noise 30": remade(plain, plain.past, 30),
        "names": named(remade(plain, few, 0), names),
        "names, noise 30": named(remade(plain, few, 30), names),
    }
    report = {}
    for name, one in cases.items():
        report[name] = measure(one, matcher)
        print(name, json.dumps(report[name][f"both, {SHIPPED}"]), flush=True)
    options.out.with_suffix(".json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )
    options.out.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


def case(matcher: Matcher, learnt: PairFeatures, dev: PairFeatures) -> Case:
    """Return the captions of dev after those of train."""
    levels = {
        name: tuple(_columns(one, matcher, wanted) for one in (learnt, dev))
        for name, wanted in LEVELS.items()
    }
    images, past_images = (matcher.embed_images(one.columns) for one in (dev, learnt))
    return Case(dev.pairs, learnt.pairs, images, past_images, levels)


def _columns(features: PairFeatures, matcher: Matcher, levels: Sequence[str]) -> FloatArray:
    [encoder] = matcher.recipe.levels
    return np.concatenate([features.columns[f"{encoder}/{level}"] for level in levels], axis=1)


def remade(one: Case, past: PairSet, noise: int) -> Case:
    """Return the case with an article an image; those of the past are clean."""
    return replace(one, queries=articles(one.queries, noise, 0), past=articles(past, 0, 0))


def invented(texts: Sequence[str]) -> dict[str, str]:
    """Return an invented word for each of the commonest words that mean something."""
    counts = Counter(word for text in texts for word in re.findall(r"[a-z]{3,}", text.lower()))
    chosen = [word for word, _ in counts.most_common() if word not in COMMON.split()][:NAMED_WORDS]
    rng, made = np.random.default_rng(0), dict[str, None]()
    syllables = [SYLLABLES[at : at + 3] for at in range(0, len(SYLLABLES), 3)]
    while len(made) < len(chosen):
        made["".join(rng.choice(syllables, 3)).capitalize()] = None
    return dict(zip(chosen, made, strict=True))


def named(one: Case, names: dict[str, str]) -> Case:
    """Return the case with the invented words."""

    def rename(pairs: PairSet) -> PairSet:
        def word(match: re.Match[str]) -> str:
            return names.get(match[0].lower(), match[0])

        return replace(pairs, texts=tuple(re.sub("[A-Za-z]+", word, t) for t in pairs.texts))

    return replace(one, queries=rename(one.queries), past=rename(one.past))


def measure(one: Case, matcher: Matcher) -> dict[str, Any]:
    """Return R@K of every way, with intervals, and the calibration error of what ships."""
    encoder = matcher.open_text_encoder()
    topics = LSA.fit(one.past.texts, TOPICS, 0)
    pictures, truth = past_pictures(one.past.truth), one.queries.truth.tocsr()

    def by_matcher(texts: Sequence[str]) -> FloatArray:
        return matcher.embed_texts(text_features(texts, encoder))

    direct = text_vectors(one.queries.texts, by_matcher)
    found = {"direct": ranks(direct, one.images, truth)}
    gains = {}
    for name, past_texts, queries in (
        (
            "topics",
            topics.encode(one.past.texts).vectors,
            text_vectors(one.queries.texts, lambda texts: topics.encode(texts).vectors),
        ),
        ("matcher's texts", text_vectors(one.past.texts, by_matcher), direct),
    ):
        fused = {"fused": (one.past_images, one.images)}
        for level, (before, gallery) in {**one.levels, **fused}.items():
            blocks = recommendations(queries, past_texts, pictures, before, gallery)
            found[f"eqs. 7-8, {name}, {level}"] = best_ranks(blocks, truth.T.tocsr())
        for neighbours in (1, NEIGHBOURS):
            known = PastArticles(past_texts, pictures, one.past_images, neighbours)
            past = known.vectors(queries)
            both = (direct, past, one.images, truth)
            way = f"{name}, {neighbours} near"
            if neighbours > 1:  # one is eqs. 7-8 again
                found[f"past, {way}"] = ranks(past, one.images, truth)
            found[f"both, {way}"] = cross_fitted_ranks(*both, seed=0)
            gains[f"both, {way}"] = cross_fitted_gain(*both, seed=0)
            if way == SHIPPED:
                shipped = both
    report = {way: intervals(found[way], truth) for way in found}
    for way, gain in gains.items():
        report[way]["gain"] = gain.to_dict()
    return {**report, "shipped": weights(matcher, *shipped)}


def weights(
    matcher: Matcher, direct: FloatArray, past: FloatArray, images: FloatArray, truth: Truth
) -> dict[str, Any]:
    """Return the weight that dev chooses, R@10 at the weight without one, calibration errors."""
    chosen = choose_weight(direct, past, images, truth)
    unlearnt = combine(direct, past, UNLEARNT_WEIGHT)
    assert matcher.calibration is not None
    drawn = list(draw_galleries(images, unlearnt, truth, SIZES, seed=0))
    own = measure_results([(matcher.calibration, drawn)])
    learnt = cross_fitted_calibration_error(images, combine(direct, past, chosen), truth, seed=0)
    return {
        "weight": chosen,
        "R@10 at the unlearnt weight": intervals(ranks(unlearnt, images, truth), truth)["R@10"],
        "calibration error, learnt": {s: e["error"] for s, e in learnt["top1"].items()},
        "calibration error, unlearnt": {s: e["error"] for s, e in own["top1"].items()},
        "promised and right, unlearnt": {
            str(one.size): [
                100 * float(matcher.calibration.probability(one.scores[:, 0], one.size).mean()),
                100 * float(one.labels[:, 0].mean()),
            ]
            for one in drawn
        },
    }


def ranks(queries: FloatArray, images: FloatArray, truth: Truth) -> Ranks:
    """Return the rank of each query's best picture."""
    return best_ranks(dot_blocks(queries, images), truth.T.tocsr())


def intervals(found: Ranks, truth: Truth) -> dict[str, Any]:
    """Return R@K in percent with 95 % intervals over images."""
    groups = components(truth)
    sums = group_sums(100 * hits(found, CUTOFFS), groups.texts, groups.count)
    sizes = np.bincount(groups.texts, minlength=groups.count)
    values = estimates(lambda w: w @ sums / (w @ sizes)[:, None], groups.count, seed=0)
    return {f"R@{k}": value.to_dict() for k, value in zip(CUTOFFS, values, strict=True)}


def markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    cases = list(report)
    ways = [way for way in report[cases[0]] if way != "shipped"]

    def row(label: str, cell: Callable[[dict[str, Any]], str], way: str) -> str:
        return f"| {label} |" + "".join(f" {cell(report[case][way])} |" for case in cases)

    def table(title: str, rows: Sequence[str]) -> str:
        head = f"| {title} |" + "".join(f" {case} |" for case in cases)
        return "\n".join([head, "|---|" + "---|" * len(cases), *rows])

    def each(cell: Callable[[dict[str, Any]], str], start: str = "") -> list[str]:
        return [row(way, cell, way) for way in ways if way.startswith(start)]

    def shipped(label: str, cell: Callable[[dict[str, Any]], str]) -> str:
        return row(label, cell, "shipped")

    return TEMPLATE.format(
        recalls=table("R@10 in percent [95 % interval]", each(lambda one: _interval(one["R@10"]))),
        early=table("R@1 / R@5", each(_early)),
        gains=table("R@10 over direct", each(lambda one: _interval(one["gain"], "+"), "both")),
        weights=table(
            SHIPPED,
            [
                shipped("w that all of dev chooses", lambda one: f"{one['weight']:g}"),
                shipped(f"R@10 at w = {UNLEARNT_WEIGHT}", _unlearnt),
            ],
        ),
        errors=table(
            "first result",
            [
                shipped(f"learnt, {size} pictures", partial(_learnt_error, size=size))
                for size in SIZES
            ]
            + [
                shipped(f"unlearnt, {size} pictures", partial(_unlearnt_error, size=size))
                for size in SIZES
            ],
        ),
        shipped=SHIPPED,
        weight=UNLEARNT_WEIGHT,
        least=LEAST_IMAGES,
    )


def _interval(one: dict[str, float], sign: str = "") -> str:
    return f"{one['value']:{sign}.1f} [{one['low']:{sign}.1f}, {one['high']:{sign}.1f}]"


def _early(one: dict[str, Any]) -> str:
    return f"{one['R@1']['value']:.1f} / {one['R@5']['value']:.1f}"


def _unlearnt(shipped: dict[str, Any]) -> str:
    return _interval(shipped["R@10 at the unlearnt weight"])


def _learnt_error(shipped: dict[str, Any], size: int) -> str:
    return f"{shipped['calibration error, learnt'][str(size)]:.1f}"


def _unlearnt_error(shipped: dict[str, Any], size: int) -> str:
    promised, right = shipped["promised and right, unlearnt"][str(size)]
    error = shipped["calibration error, unlearnt"][str(size)]
    return f"{error:.1f} ({promised:.0f} / {right:.0f})"


TEMPLATE = """# Recommending pictures for an article

`runs/recommendation.py` writes this page. The past is Flickr8k's train split, the gallery its
1,000 dev pictures; queries are the 5,000 dev captions, or articles of five captions each, among 30
captions of other images where the noise is 30. visita-small was trained on this past, so the past
can hardly tell it more. *Names* asks what a matcher cannot know: the 250 commonest words of the
captions that mean something become invented ones, in the past (2,000 images) and in the queries.

{recalls}

- *Direct*: the fused picture against the text, as `search` does ([long texts](long-texts.md)).
- *Eqs. 7-8*: the paper's recommendation. The nearest past text by topics (LSA, 500, fitted on the
  past) or by the matcher's text vectors leads to its picture, and that to the gallery by one level
  (fc), two levels (fc+late: the last stage's maxima beside it) or the fused vector. As the paper
  says of Flickr30K, fc+late is below fc, fused is above both, and direct is above all three.
- *Past*: our kernel: the nearest past texts vote by their cosines (softmax).
- *Both*: (1 - w) direct + w past; w cross-fitted over two halves of the dev images.

{early}

{gains}

`recommend --past` uses **{shipped}**: on words that the matcher knows the past adds next to nothing
whichever way, and on names topics add the most. Its weight is learnt on the dev split of the past
pairs; with fewer than {least} images there it is {weight}, a compromise.

{weights}

## The probability

Learnt: fitted on dev at the chosen weight, error cross-fitted. Unlearnt: the matcher's own at
w = {weight}. Calibration error in percent; in brackets how probable the first result was said to be
and how often it was right, in the mean. On names the matcher's own probability is far too low.

{errors}
"""


if __name__ == "__main__":
    main()
