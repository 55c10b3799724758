"""Whether a search says that nothing here matches where that is so, and finds what is there.

python runs/nothing_here.py --data flickr8k:PATH [MATCHER ...] [--out docs/results/nothing-here.md]

A concept is a noun that two captions each of four pictures of dev have; ``nothing_here.txt`` has
its synonyms, kinds and what is seldom seen without it. Absent: every picture with one of these in
a caption is removed. Present: they are there, and one of them comes first.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dev_page import write_page
from numpy.typing import NDArray
from single_words import SEED, SHIPPED
from sklearn.linear_model import LogisticRegression

import visita
from visita.data import PairSet
from visita.evaluation.intervals import estimates
from visita.evaluation.keywords import find_nouns, keyword_queries, words_held
from visita.evaluation.measure import features_for, vectors
from visita.matchers.usual import usual_scores

CONCEPTS = 100
MOST_ABSENT = 0.05
TABLE = Path(__file__).with_suffix(".txt")
SURE = 0.5
TEN = 10
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Asked:
    """Concepts in both galleries: what is known of each search, (concepts, …).

    ``present`` and ``absent`` have by name what a cut-off could be of; ``right`` tells whether
    the first picture of the present ones is one of theirs.
    """

    present: dict[str, Numbers]
    absent: dict[str, Numbers]
    right: NDArray[np.bool_]


def main() -> None:
    """Measure each matcher and write the page."""
    write_page(__doc__, HEAD, rows, SHIPPED)


def rows(name: str, dev: PairSet) -> list[str]:
    """Return the lines of one matcher."""
    asked = ask(name, dev)
    p, q = asked.present["P(shows)"], asked.absent["P(shows)"]
    said = [line(f"{name}: P(shows) of {SURE}, the default", asked, p >= SURE, q >= SURE)]
    for kind in ("P(shows)", "height", "mean height of ten"):
        values = asked.present[kind], asked.absent[kind]
        said.append(line(f"{name}: {kind}", asked, *halved(*(each[:, None] for each in values))))
    learnt = ("height", "height in the gallery", "ln spread")
    tables = [
        np.stack([part[each] for each in learnt], 1) for part in (asked.present, asked.absent)
    ]
    said.append(line(f"{name}: {', '.join(learnt)}, learnt", asked, *halved(*tables)))
    return said


def ask(name: str, dev: PairSet) -> Asked:
    """Search for each concept with its pictures and without."""
    first = visita.load(name).retriever
    nouns, shown = concepts(dev)
    texts = first.embed_texts(first.open_text_encoder().encode(nouns))
    texts = texts if first.words is None else first.words(texts)
    pictures, _ = vectors(first, features_for(first, dev, None))
    scores = texts @ pictures.T
    usual = usual_scores(first.background, texts)
    found: tuple[list[Any], list[Any]] = [], []
    for text, row, held, median, spread in zip(texts, scores, shown, *usual, strict=True):
        for kept, into in zip((row, row[~held]), found, strict=True):
            said = first.probability(kept, len(kept), keywords=text)
            assert said is not None
            heights = np.sort((kept - median) / spread)[::-1]
            within = (kept.max() - np.median(kept)) / kept.std()
            ten = heights[:TEN].mean()
            into.append((said.max(), heights[0], ten, within, np.log(spread)))
    present, absent = (dict(zip(KINDS, np.array(rows).T, strict=True)) for rows in found)
    right = shown[np.arange(len(nouns)), scores.argmax(axis=1)]
    return Asked(present, absent, right)


KINDS = ("P(shows)", "height", "mean height of ten", "height in the gallery", "ln spread")


def concepts(dev: PairSet) -> tuple[list[str], NDArray[np.bool_]]:
    """Return nouns and which pictures have one or its like in a caption, (concepts, n)."""
    truth = dev.truth.tocsr()
    nouns = list(keyword_queries(dev.texts, truth, captions=2, images=4).nouns[:CONCEPTS])
    listed = (line.split(": ") for line in TABLE.read_text("utf-8").splitlines())
    table = {noun: like.split() for noun, like in listed}
    likes = [[n, *table[n], *(table["PEOPLE"] if "PEOPLE" in table[n] else ())] for n in nouns]
    _, sentences = find_nouns(dev.texts)
    words = sorted({word for like in likes for word in like})
    held = (truth.astype(np.int64) @ words_held(sentences, words)).toarray() > 0
    places = {word: number for number, word in enumerate(words)}
    return nouns, np.stack([held[:, [places[w] for w in like]].any(axis=1) for like in likes])


def halved(present: Numbers, absent: Numbers) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell what is returned by a cut-off from the other half of the concepts.

    Of several columns (concepts, c) it is of their weighted sum, learnt there too.
    """
    half = np.random.default_rng(SEED).permutation(len(present)) % 2
    told = np.zeros((2, len(present)), bool)
    for one in (0, 1):
        known, asked = half != one, half == one
        values = present, absent
        if present.shape[1] > 1:
            table = np.concatenate([present[known], absent[known]])
            labels = np.repeat([1, 0], known.sum())
            model = LogisticRegression(C=1e3).fit(table, labels)
            values = tuple(model.decision_function(part)[:, None] for part in values)
        cut = np.quantile(values[1][known], 1 - MOST_ABSENT)
        for row, part in zip(told, values, strict=True):
            row[asked] = part[asked, 0] > cut
    return told[0], told[1]


def line(name: str, asked: Asked, present: NDArray[np.bool_], absent: NDArray[np.bool_]) -> str:
    """Return a line of the table, in percent."""
    table = 100 * np.stack([absent, present & asked.right, asked.right], axis=1).astype(float)

    def mean(weights: Any) -> Any:
        return weights @ table / weights.sum(axis=1, keepdims=True)

    found = estimates(mean, len(table), seed=SEED)
    cells = [f"{one.value:.0f} [{one.low:.0f}, {one.high:.0f}]" for one in found]
    return f"| {name} | {' | '.join(cells)} |"


HEAD = f"""# "Nothing here matches": is that said where it is so?

Written by `runs/nothing_here.py` on Flickr8k dev with {CONCEPTS} concepts, each a single word that
is searched for. *Absent*: every picture with the concept or a synonym in a caption is removed; the
part of the searches that return anything. *Present*: nothing is removed; the part that returns a
right picture first. *Any cut-off*: the part whose first picture is right. All in percent. Cut-offs
but the default come from the other half of the concepts, where {MOST_ABSENT:.0%} of the absent ones
return something. *Height* is how many standard deviations the best score is above the median of the
word, with pictures that stand for any, or in the gallery. 95 % intervals are over concepts.

| cut-off by | absent | present | any cut-off |
|---|---|---|---|""".split("\n")

if __name__ == "__main__":
    main()
