"""Whether results for "X without Y" lack Y, against the same text read as any other.

python runs/negation.py --data flickr8k:PATH [MATCHER ...] [--out docs/results/negation.md]

X and Y are nouns of dev's captions of which a picture of X often has the other. Read as any other
text, "X without Y" is matched as it stands; understood, it is P(X) times 1 - P(Y).
"""

from typing import Any

import numpy as np
from dev_page import write_page
from single_words import SEED, SHIPPED, said_by, words_of

import visita
from visita.data import PairSet
from visita.evaluation import Words
from visita.evaluation.intervals import estimates, mean_statistic
from visita.evaluation.measure import features_for, vectors
from visita.evaluation.rerank import RerankedPairs
from visita.types import FloatArray, Matcher

FIRST = 10
OFTEN = (0.2, 0.8)
"""Part of the pictures of X that have Y, at least and at most."""


def main() -> None:
    """Measure each matcher and write the page."""
    write_page(__doc__, HEAD, rows, SHIPPED)


def rows(name: str, dev: PairSet) -> list[str]:
    """Return a line of the table before and after."""
    matcher = visita.load(name)
    words = words_of(matcher, dev)
    pairs = often_together(words)
    said = said_by(matcher, words)
    texts = [f"{words.nouns[one]} without {words.nouns[other]}" for one, other in pairs]
    before = scores_of(matcher, dev, texts)
    after = np.stack([said[one] * (1 - said[other]) for one, other in pairs])
    return [
        line(f"{name}, as any other text", before, words, pairs),
        line(f"{name}, understood", after, words, pairs),
    ]


def often_together(words: Words) -> list[tuple[int, int]]:
    """Return nouns X and Y, by row, of which X's pictures often have Y and ten do not."""
    shown, named = (words.held > 1).astype(float), (words.held > 0).astype(float)
    share = shown @ named.T / shown.sum(axis=1, keepdims=True)
    rest = shown @ (1 - named).T
    least, most = OFTEN
    found = np.argwhere((share >= least) & (share <= most) & (rest >= FIRST))
    return [(int(one), int(other)) for one, other in found if one != other]


def scores_of(matcher: Matcher, dev: PairSet, texts: list[str]) -> FloatArray:
    """Return the scores of texts as they stand with all pictures, (texts, n)."""
    features = features_for(matcher, dev, None)
    if matcher.reranker:
        return RerankedPairs(matcher, features).of_texts(texts).dense().T
    images, _ = vectors(matcher, features)
    return matcher.embed_texts(matcher.open_text_encoder().encode(texts)) @ images.T


def line(name: str, values: FloatArray, words: Words, pairs: list[tuple[int, int]]) -> str:
    """Return how many of each text's first results show X, lack Y, and both, in percent."""
    measures = []
    for (one, other), row in zip(pairs, values, strict=True):
        first = np.argsort(-row, kind="stable")[:FIRST]
        shows, lacks = words.held[one, first] > 0, words.held[other, first] == 0
        measures.append([shows.mean(), lacks.mean(), (shows & lacks).mean()])
    table: Any = 100 * np.array(measures)
    found = estimates(mean_statistic(table, np.arange(len(pairs))), len(pairs), seed=SEED)
    cells = [f"{one.value:.1f} [{one.low:.1f}, {one.high:.1f}]" for one in found]
    return f"| {name} | {len(pairs)} | {' | '.join(cells)} |"


HEAD = f"""# "X without Y": do the results lack Y?

Written by `runs/negation.py` on Flickr8k dev: nouns X and Y such that {OFTEN[0]:.0%} to
{OFTEN[1]:.0%} of the pictures of X have Y in a caption. Of the first {FIRST} results, in percent:
those with X in a caption, those without Y in any, and both. Captions do not say all, so some that
lack Y may show it. 95 % intervals are over the pairs of nouns.

| | pairs | X | no Y | both |
|---|--:|---|---|---|""".split("\n")

if __name__ == "__main__":
    main()
