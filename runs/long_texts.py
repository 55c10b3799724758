"""Which picture is an article about? Ways to read a long text, on articles made of captions.

python runs/long_texts.py --data flickr8k:PATH [--out docs/results/long-texts]

The article of a dev image is its five captions, shuffled into 0, 10, 30 or 100 captions of
other dev images (three seeds). All 1,000 dev pictures are ranked. Whatever has something to
choose is cross-fitted: what is measured on one half of the articles was chosen on the other.
Topics and their maps come from train. Writes OUT.json and OUT.md.
"""

import argparse
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array

from visita.data import PairSet, open_pairs
from visita.data.articles import articles
from visita.encoders.topics.lsa import LSA
from visita.evaluation.calibrate import draw_galleries, measure_results
from visita.evaluation.intervals import estimates
from visita.evaluation.measure import features_for, vectors
from visita.kernels.cca import cca
from visita.matchers import load
from visita.search.collaborative import past_pictures, recommendations
from visita.search.passages import AGREEING, agreement, passages, pooled
from visita.store.extract import text_features
from visita.types import FloatArray, Matcher
from visita.vectors import unit

NOISES = (0, 10, 30, 100)
SEEDS = (0, 1, 2)
CUTOFFS = (1, 5, 10)
SIZES = (10, 100, 1000)
TOPICS, DIRECTIONS, RIDGE = 500, 256, 0.1
TRUNCATED = 50  # words
BEST = (1, 3, 5, 8)
VOTES = ((0.03, 0.3), (0.04, 0.2), (0.05, 0.1), (0.05, 0.3))  # temperature, share of passages
AGREEMENTS = (AGREEING, (0.2, 0.4), (0.4, 0.6), (0.3, 0.7))
COMBINED = ("mean", "best 5", "votes 0.04 0.2", f"agreement {AGREEING}", "topics, direct")
Scores = dict[str, FloatArray]


def main() -> None:
    """Score every article in every way, then write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/results/long-texts"))
    options = parser.parse_args()
    matcher, pairs = load("visita-small"), open_pairs(options.data)
    known = features_for(matcher, pairs, None)
    learnt, dev = known.take("train"), known.take("dev")
    images, _ = vectors(matcher, dev)
    topics = Topics(learnt.pairs, matcher.embed_images(learnt.columns), images)
    made = {key: articles(dev.pairs, *key) for key in product(NOISES, SEEDS)}
    texts = Texts([text for one in made.values() for text in one.texts], matcher, images)
    print(f"{len(texts.rows):,} passages", flush=True)
    scores = {}
    for key, one in made.items():
        scores[key] = {**texts.scores(one.texts), **topics.scores(one.texts)}
        print(f"noise {key[0]}, seed {key[1]}: {len(scores[key])} ways", flush=True)
    ranks = {key: {way: rank(s) for way, s in found.items()} for key, found in scores.items()}
    first = np.random.default_rng(0).permutation(len(images)) % 2 == 0
    for half in (first, ~first):
        weights = learn([scores[noise, SEEDS[0]] for noise in NOISES], ~half)
        print("combination", dict(zip(COMBINED, weights.round(2).tolist(), strict=True)))
        for key, found in scores.items():
            parts = [w * zscore(found[way]) for w, way in zip(weights, COMBINED, strict=True)]
            joined = rank(np.sum(parts, axis=0))
            ranks[key].setdefault("learnt combination", np.empty(len(images)))[half] = joined[half]
    for family in ("best", "votes", "agreement"):
        crossfit(ranks, family, first)
    report = {
        "gallery": len(images),
        "seeds": SEEDS,
        "ways": measure(ranks),
        "calibration": calibration(matcher, images, texts, made),
        "read at once": at_once(matcher, images, made[0, SEEDS[0]].texts),
    }
    options.out.with_suffix(".json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )
    options.out.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


class Texts:
    """The passages of all articles, embedded once."""

    def __init__(self, texts: list[str], matcher: Matcher, images: FloatArray) -> None:
        distinct = sorted({passage for text in texts for passage in passages(text)})
        features = text_features(distinct, matcher.open_text_encoder())
        self.rows = {passage: row for row, passage in enumerate(distinct)}
        self.vectors = matcher.embed_texts(features)
        self.images = images
        self.table = self.vectors @ images.T
        self.likelihoods = {}
        for temperature in {temperature for temperature, _ in VOTES}:
            raised = np.exp(self.table / temperature)
            self.likelihoods[temperature] = raised / raised.mean(axis=1, keepdims=True)

    def pooled(self, text: str, agreeing: tuple[float, float] = AGREEING) -> FloatArray:
        """Return what a search uses: the passages by their agreement."""
        found = self.vectors[[self.rows[passage] for passage in passages(text)]]
        return pooled(found, agreement(found, agreeing))

    def scores(self, texts: tuple[str, ...]) -> Scores:
        """Return the scores of all pictures for each article, (m, n), by way."""
        found: dict[str, list[FloatArray]] = {}
        for text in texts:
            for way, score in self._ways(text):
                found.setdefault(way, []).append(score)
        return {way: np.array(some, np.float32) for way, some in found.items()}

    def _ways(self, text: str) -> list[tuple[str, FloatArray]]:
        parts = passages(text)
        rows = [self.rows[part] for part in parts]
        table = self.table[rows]
        words = np.cumsum([len(part.split()) for part in parts])
        ways = [
            (f"first {TRUNCATED} words", table[: max(1, int((words <= TRUNCATED).sum()))].sum(0)),
            ("mean", table.sum(axis=0)),
        ]
        ordered = -np.sort(-table, axis=0)
        ways += [(f"best {s}", ordered[:s].mean(axis=0)) for s in BEST]
        for temperature, share in VOTES:
            # Each passage is about the picture with a chance of ``share``, or about any.
            ratio = share / (1 - share) * self.likelihoods[temperature][rows]
            ways.append((f"votes {temperature} {share}", np.log1p(ratio).sum(axis=0)))
        ways += [
            (f"agreement {span}", self.images @ self.pooled(text, span)) for span in AGREEMENTS
        ]
        return ways


class Topics:
    """LSA of whole articles, fitted on those of train, and the two ways to pictures."""

    def __init__(self, learnt: PairSet, past_images: FloatArray, images: FloatArray) -> None:
        past = articles(learnt, 0, 0)
        self.lsa = LSA.fit(past.texts, TOPICS, 0)
        self.past = self.lsa.encode(past.texts).vectors
        self.pictures = past_pictures(past.truth)
        self.past_images, self.images = past_images, images
        self.scale = [(table.mean(axis=0), table.std(axis=0)) for table in (past_images, self.past)]
        whitened = [self._scaled(0, past_images), self._scaled(1, self.past)]
        self.maps = cca(
            *whitened, past.truth.tocsr(), DIRECTIONS, image_ridge=RIDGE, text_ridge=RIDGE
        )

    def scores(self, texts: tuple[str, ...]) -> Scores:
        """Return the scores of all pictures for each article, (m, n), by way."""
        topics = self.lsa.encode(texts).vectors
        mapped = unit(self._scaled(0, self.images) @ self.maps[0])
        direct = unit(self._scaled(1, topics) @ self.maps[1]) @ mapped.T
        blocks = recommendations(topics, self.past, self.pictures, self.past_images, self.images)
        nearest = np.concatenate([scores for _, scores in blocks])
        return {"topics, direct": direct, "topics, nearest past article (eqs. 7-8)": nearest}

    def _scaled(self, side: int, table: FloatArray) -> FloatArray:
        mean, spread = self.scale[side]
        return np.asarray((table - mean) / (spread + 1e-6), np.float32)


def rank(scores: FloatArray) -> NDArray[np.float64]:
    """Return the rank of picture i for article i; equal scores give the middle rank."""
    true = np.diagonal(scores)[:, None]
    return np.asarray(1 + (scores > true).sum(axis=1) + ((scores == true).sum(axis=1) - 1) / 2)


def zscore(scores: FloatArray) -> FloatArray:
    """Return the scores with mean 0 and deviation 1 over the pictures."""
    spread = scores.std(axis=1, keepdims=True)
    return (scores - scores.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-6)


def learn(found: list[Scores], half: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the weights of ``COMBINED`` that make the true pictures likeliest (softmax)."""
    rows = np.flatnonzero(half)
    table = np.stack([np.concatenate([zscore(s[w])[rows] for s in found]) for w in COMBINED])
    true = np.tile(rows, len(found))
    at = (np.arange(len(true)), true)

    def loss(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        logits = np.tensordot(weights.astype(np.float32), table, 1)
        logits -= logits.max(axis=1, keepdims=True)
        chances = np.exp(logits)
        chances /= chances.sum(axis=1, keepdims=True)
        value = -np.log(np.maximum(chances[at], 1e-30)).mean()
        chances[at] -= 1
        return float(value), np.array([(t * chances).sum() for t in table]) / len(true)

    start = np.ones(len(COMBINED))
    return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x)


def crossfit(
    ranks: dict[tuple[int, int], dict[str, NDArray[np.float64]]],
    family: str,
    first: NDArray[np.bool_],
) -> None:
    """Replace the variants of a family by the one that the other half chose by its R@10."""
    variants = [way for way in ranks[NOISES[0], SEEDS[0]] if way.startswith(f"{family} ")]
    halves = (first, ~first)
    chosen = []
    for half in halves:

        def recall(way: str, other: NDArray[np.bool_] = ~half) -> float:
            return float(np.mean([found[way][other] <= max(CUTOFFS) for found in ranks.values()]))

        chosen.append(max(variants, key=recall))
    print(family, "chosen:", *chosen)
    for found in ranks.values():
        joined = np.select(halves, [found[way] for way in chosen])
        shipped = {f"agreement {AGREEING}"} & set(variants)
        for way in set(variants) - shipped:
            del found[way]
        found[f"{family}, cross-fitted"] = joined


def measure(ranks: dict[tuple[int, int], dict[str, NDArray[np.float64]]]) -> dict[str, Any]:
    """Return R@K by way and noise, and the share kept of the mean of clean captions."""
    clean = hits(ranks, "mean", NOISES[0])[:, -1]
    return {
        way: {str(noise): _estimates(hits(ranks, way, noise), clean) for noise in NOISES}
        for way in ranks[NOISES[0], SEEDS[0]]
    }


def hits(ranks: dict[Any, dict[str, NDArray[np.float64]]], way: str, noise: int) -> Any:
    """Return the percentage of seeds in which each article was answered, (m, cutoffs)."""
    all_seeds = np.stack([ranks[noise, seed][way] for seed in SEEDS])
    return 100 * (all_seeds[:, :, None] <= np.array(CUTOFFS)).mean(axis=0)


def _estimates(found: Any, clean: Any) -> dict[str, dict[str, float]]:
    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        recalls = weights @ found / weights.sum(axis=1, keepdims=True)
        kept = 100 * (weights @ found[:, -1]) / (weights @ clean)
        return np.column_stack([recalls, kept])

    names = [*(f"R@{k}" for k in CUTOFFS), "kept"]
    values = estimates(statistic, len(found), seed=0)
    return {name: value.to_dict() for name, value in zip(names, values, strict=True)}


def calibration(
    matcher: Matcher, images: FloatArray, texts: Texts, made: dict[tuple[int, int], PairSet]
) -> dict[str, Any]:
    """Return the error of the matcher's probability, fitted on captions, on articles."""
    assert matcher.calibration is not None
    truth = csr_array(np.eye(len(images), dtype=bool))
    found = {}
    for noise in NOISES:
        queries = np.array([texts.pooled(text) for text in made[noise, SEEDS[0]].texts])
        drawn = list(draw_galleries(images, queries, truth, SIZES, seed=0))
        errors = measure_results([(matcher.calibration, drawn)])["top1"]
        found[str(noise)] = {
            str(one.size): {
                "error": errors[str(one.size)]["error"],
                "promised": 100 * float(matcher.probability(one.scores[:, 0], one.size).mean()),
                "right": 100 * float(one.labels[:, 0].mean()),
            }
            for one in drawn
        }
    return found


def at_once(matcher: Matcher, images: FloatArray, texts: tuple[str, ...]) -> dict[str, float]:
    """Return R@K of clean articles whose sentences the encoder reads as one text."""
    found = matcher.embed_texts(text_features(texts, matcher.open_text_encoder()))
    ranks = rank(found @ images.T)
    return {f"R@{k}": 100 * float((ranks <= k).mean()) for k in CUTOFFS}


def markdown(report: dict[str, Any]) -> str:
    """Return the report as Markdown."""
    ways, shipped = report["ways"], f"agreement {AGREEING}"
    errors = "\n".join(
        f"| {noise} |" + "".join(f" {_probability(one)} |" for one in found.values())
        for noise, found in report["calibration"].items()
    )
    return TEMPLATE.format(
        recall=_table(ways, lambda one: _interval(one["R@10"]), "R@10 in percent [95 % interval]"),
        kept=_table(ways, lambda one: _interval(one["kept"]), "kept"),
        early=_table(ways, lambda one: _pair(one["R@1"], one["R@5"]), "R@1 / R@5"),
        sizes=" |".join(f" {size:,}" for size in SIZES),
        errors=errors,
        at_once=report["read at once"]["R@10"],
        clean=ways["mean"]["0"]["R@10"]["value"],
        shipped=shipped,
        shipped_clean=ways[shipped]["0"]["R@10"]["value"],
        kept30=ways[shipped]["30"]["kept"]["value"],
        kept100=ways[shipped]["100"]["kept"]["value"],
    )


def _table(ways: dict[str, Any], cell: Callable[[dict[str, Any]], str], title: str) -> str:
    head = f"| {title} |" + "".join(f" noise {noise} |" for noise in NOISES)
    rows = [
        f"| {way} |" + "".join(f" {cell(found[str(noise)])} |" for noise in NOISES)
        for way, found in ways.items()
    ]
    return "\n".join([head, "|---|" + "---|" * len(NOISES), *rows])


def _interval(one: dict[str, float]) -> str:
    return f"{one['value']:.1f} [{one['low']:.1f}, {one['high']:.1f}]"


def _pair(one: dict[str, float], other: dict[str, float]) -> str:
    return f"{one['value']:.1f} / {other['value']:.1f}"


def _probability(one: dict[str, float]) -> str:
    return f"{one['error']:.1f} ({one['promised']:.0f} / {one['right']:.0f})"


TEMPLATE = """# Long texts

`runs/long_texts.py` writes this page. The article of each of Flickr8k's 1,000 dev images is its
five captions, shuffled into *noise* captions of other dev images, which fit other pictures of the
gallery just as well (three seeds). All 1,000 dev pictures are ranked with visita-small.

`search` and `recommend` use **{shipped}**: every sentence is a passage, and counts as much as
other passages say the like (eigenvector centrality, `visita/search/passages.py`). A text is then
one vector, so it costs a gallery no more than a caption does; a text of one sentence has exactly
the vector of that sentence.

{recall}

Of the {clean:.1f} that the mean of five clean captions gives, in percent. The goal was 80 with 30
foreign sentences; {kept30:.0f} are kept, and {kept100:.0f} with 100:

{kept}

{early}

- *First words*: what an encoder that truncates sees. *Mean*, *best s*: of the passages' scores.
- *Votes*: each passage is about the picture or about any (a mixture): the sum over passages of
  log(1 + o p n), p its softmax over the n pictures. It needs the score of each for every picture.
- *Topics*: LSA of the whole article, fitted on train; direct by CCA, or by the nearest past one.
- *Learnt combination*: of five of these, weights by softmax regression.
- *Cross-fitted*: the constants that one half was measured with were chosen by the other's R@10.
  Both halves chose the constants of agreement that ship.

Read by the encoder as one text, as visita did before, five clean captions give R@10 {at_once:.1f}
in place of {shipped_clean:.1f}.

## The probability

It is the one that was fitted on single captions. Calibration error of the first result in percent,
and in brackets how probable it was said to be and how often it was right, in the mean (half of the
galleries hold the picture). In small galleries it promises some points too much.

| noise | gallery{sizes} |
|---|---|---|---|
{errors}
"""


if __name__ == "__main__":
    main()
