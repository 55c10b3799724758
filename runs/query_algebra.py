"""Whether a picture plus a word finds the picture's things with the word's, and less finds less.

python runs/query_algebra.py --data flickr8k:PATH [MATCHER ...]
    [--out docs/results/query-algebra.md]

A query is a picture of dev that shows a noun X, and a noun Y that none of its captions has, though
other pictures have both; and "X - Y" for nouns of which pictures often have both. A sum counts each
term in units of how its similarities vary; beside it is the sum of unit vectors.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from dev_page import write_page
from negation import FIRST, often_together
from single_words import SEED, SHIPPED, words_of

import visita
from visita.data import PairSet
from visita.evaluation import Words
from visita.evaluation.intervals import estimates, mean_statistic
from visita.evaluation.measure import features_for, vectors
from visita.search.query import Query
from visita.types import FloatArray
from visita.vectors import unit

NOUNS, PICTURES, TOGETHER = 50, 400, 10
Case = tuple[int, int, int]
"""A picture, a noun that it shows, and one that it does not."""


def main() -> None:
    """Measure each matcher and write the page."""
    write_page(__doc__, HEAD, rows, SHIPPED)


def rows(name: str, dev: PairSet) -> list[str]:
    """Return the lines of one matcher."""
    first = visita.load(name).retriever
    words = words_of(first, dev)
    pictures = unit(vectors(first, features_for(first, dev, None))[0])
    nouns = first.embed_texts(first.open_text_encoder().encode(words.nouns))
    nouns = unit(nouns if first.words is None else first.words(nouns))
    cases, pairs = modified(words), often_together(words)

    def scores(parts: list[FloatArray], weights: list[float]) -> FloatArray:
        return pictures @ Query.sum_of(np.stack(parts), weights, first).pooled()

    def added(weigh: Callable[[FloatArray, FloatArray], FloatArray]) -> list[list[float]]:
        found = []
        for row, shown, other in cases:
            values = weigh(pictures[row], nouns[other])
            values[row] = -np.inf
            found.append(judged(values, words.held[shown] > 0, words.held[other] > 0))
        return found

    def less(weight: float) -> list[list[float]]:
        parts = ((one, other, [nouns[one], nouns[other]]) for one, other in pairs)
        held = words.held
        return [
            judged(scores(both, [1, -weight]), held[one] > 0, held[other] == 0)
            for one, other, both in parts
        ]

    single = [
        judged(pictures @ nouns[one], words.held[one] > 0, words.held[other] == 0)
        for one, other in pairs
    ]
    return [
        line(f"{name}: picture", added(lambda picture, _: pictures @ picture)),
        line(f"{name}: Y", added(lambda _, noun: pictures @ noun)),
        line(f"{name}: picture + Y, unit vectors", added(lambda a, b: pictures @ (a + b))),
        line(f"{name}: picture + Y", added(lambda a, b: scores([a, b], [1, 1]))),
        line(f"{name}: picture + 2*Y", added(lambda a, b: scores([a, b], [1, 2]))),
        line(f"{name}: X", single),
        line(f"{name}: X - 0.5*Y", less(0.5)),
        line(f"{name}: X - Y", less(1)),
    ]


def modified(words: Words) -> list[Case]:
    """Return pictures with a noun that they show and one that they do not, drawn by ``SEED``."""
    rng = np.random.default_rng(SEED)
    held = words.held[:NOUNS]
    sure = (held > 1).astype(int)
    enough = sure @ sure.T >= TOGETHER
    cases = []
    for picture in rng.permutation(held.shape[1])[:PICTURES]:
        for shown in np.flatnonzero(held[:, picture] > 1):
            others = np.flatnonzero(enough[shown] & (held[:, picture] == 0))
            if len(others):
                cases.append((int(picture), int(shown), int(rng.choice(others))))
    return cases


def judged(values: FloatArray, right: Any, changed: Any) -> list[float]:
    """Return how many of the first show X, are as Y asks, and both."""
    first = np.argsort(-values, kind="stable")[:FIRST]
    return [right[first].mean(), changed[first].mean(), (right & changed)[first].mean()]


def line(name: str, found: list[list[float]]) -> str:
    """Return a line of the table, in percent."""
    table: Any = 100 * np.array(found)
    means = estimates(mean_statistic(table, np.arange(len(table))), len(table), seed=SEED)
    cells = [f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]" for one in means]
    return f"| {name} | {len(table)} | {' | '.join(cells)} |"


HEAD = f"""# Sums and differences of pictures and words

Written by `runs/query_algebra.py` on Flickr8k dev: queries of a picture that shows a noun X, and a
noun Y that it does not show, though {TOGETHER} others show both; and of nouns X and Y of which
pictures often have both. Of the first {FIRST} results, in percent: those with X in a caption, those
with Y (for *X - Y*, without), and both. The picture itself is left out. *Unit vectors* are added
as they are; else each term counts in units of how its similarities with pictures that stand for any
vary. 95 % intervals are over the queries. Scores of sums are similarities, no probabilities.

| | queries | X | Y, or for X - Y no Y | both |
|---|--:|---|---|---|""".split("\n")

if __name__ == "__main__":
    main()
