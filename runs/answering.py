"""How often does ``visita answer`` choose what the captions say?

python runs/answering.py --data flickr8k:PATH [--matchers visita-small OTHER…] \\
    [--out docs/results/answering]

Questions are made from the captions of dev pictures: the colour of a thing ("a red shirt"), how
many of a thing there are ("two dogs"), which of four things the picture shows, and whether it
shows a thing (each asked once of a picture with it and once of one without). A picture
contradicted by another of its captions is not asked. Accuracy is compared with chance and with
the most frequent answer in the training captions: of the colours and numbers of that thing, of
the four things. The first matcher is what the others are compared with. Writes OUT.json and
OUT.md.
"""

import argparse
import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import visita
from visita.data import PairSet
from visita.evaluation.intervals import estimates, group_sums, paired_difference
from visita.evaluation.keywords import find_nouns
from visita.evaluation.measure import features_for
from visita.matchers.pair_probability import match_features, match_scores, word_counts
from visita.search.answer import claim, shares, statement
from visita.search.pair import Seen
from visita.store.extract import text_features
from visita.types import FloatArray, Matcher

COLOURS = (
    *("red", "orange", "yellow", "green", "blue", "purple"),
    *("pink", "brown", "black", "white", "grey"),
)
NUMBERS = ("one", "two", "three", "four", "five")
SHOWN = 4
"""Choices of a question for a thing."""
YES_OR_NO = "yes or no"
SELDOM = 10
"""A thing in fewer dev pictures is not asked for."""
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*")
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """A question about a picture; ``right`` and ``frequent`` are rows of its choices."""

    kind: str
    picture: int
    text: str
    choices: tuple[str, ...]
    right: int
    frequent: int


class Answered(NamedTuple):
    """The row of the choice taken, and how probable it was called, if at all."""

    choice: int
    share: float | None


def main() -> None:
    """Ask, answer, and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--matchers", nargs="+", default=["visita-small"])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("docs/results/answering"))
    options = parser.parse_args()
    pairs = visita.open_pairs(options.data)
    train, dev = pairs.take("train"), pairs.take("dev")
    questions = Maker(train, dev, options.seed).questions()
    answers = {}
    for name in options.matchers:
        matcher = visita.load(name)
        seen = Seen.of(matcher, features_for(matcher, dev, None).columns)
        answers[matcher.name] = answered(matcher, seen, questions)
        print(f"{matcher.name}: {len(questions):,} questions answered", flush=True)
    report = {
        "data": pairs.fingerprint(),
        "seed": options.seed,
        "kinds": measure(questions, answers, options.seed),
    }
    options.out.with_suffix(".json").write_text(
        json.dumps(report, indent=1) + "\n", encoding="utf-8"
    )
    options.out.with_suffix(".md").write_text(markdown(report), encoding="utf-8")
    print(markdown(report))


class Maker:
    """Makes questions from the captions of dev, and knows those of train."""

    def __init__(self, train: PairSet, dev: PairSet, seed: int) -> None:
        nouns, folded = find_nouns([*train.texts, *dev.texts])
        self.nouns = set(nouns)
        cut = [_WORD.findall(text.lower()) for text in (*train.texts, *dev.texts)]
        self.fold = {
            word: one
            for words, ones in zip(cut, folded, strict=True)
            for word, one in zip(words, (w for w in ones if w[0].isalpha()), strict=True)
        }
        self.train, dev_words = cut[: len(train.texts)], cut[len(train.texts) :]
        self.pictures = [
            [dev_words[text] for text in dev.truth[[row]].indices]
            for row in range(len(dev.image_ids))
        ]
        self.plurals = {one: word for word, one in self.fold.items() if word != one}
        self.rng = np.random.default_rng(seed)

    def questions(self) -> list[Question]:
        """Return all questions, in the order of their kinds."""
        return [
            *self._told("colour", COLOURS, "what colour is the {}?"),
            *self._told("number", NUMBERS, "how many {} are there?"),
            *self._things(),
        ]

    def _told(self, kind: str, choices: Sequence[str], form: str) -> list[Question]:
        """Return a question for every thing of a picture with one such word before it."""
        known: dict[str, Counter[str]] = defaultdict(Counter)
        for words in self.train:
            for word, thing in self._before(kind, words):
                known[thing][word] += 1
        every = sum(known.values(), Counter())
        found = []
        for picture, captions in enumerate(self.pictures):
            said = defaultdict(set)
            for words in captions:
                for word, thing in self._before(kind, words):
                    said[thing].add(word)
            for thing, words in sorted(said.items()):
                if len(words) == 1:
                    frequent = max(choices, key=lambda one: (known[thing][one], every[one]))
                    places = [choices.index(word) for word in (*words, frequent)]
                    found.append(
                        Question(kind, picture, form.format(thing), tuple(choices), *places)
                    )
        return found

    def _before(self, kind: str, words: Sequence[str]) -> list[tuple[str, str]]:
        """Return each colour or number with the thing right after it."""
        found = []
        words = ["grey" if word == "gray" else word for word in words]
        for before, word, thing in zip(["", *words], words, words[1:], strict=False):
            noun = self.fold.get(thing, thing)
            if noun not in self.nouns or noun in (*COLOURS, *NUMBERS):
                continue
            if kind == "number" and word in NUMBERS and (noun != thing) == (word != "one"):
                found.append((word, self.plurals.get(thing, thing)))
            if kind == "colour" and word in COLOURS and before not in ("and", *COLOURS):
                found.append((word, thing))
        return found

    def _things(self) -> list[Question]:
        """Return, for each picture, which of four things it shows and whether it shows one."""
        held = [
            {self.fold[w] for words in one for w in words} & self.nouns for one in self.pictures
        ]
        often = Counter(thing for things in held for thing in things)
        asked = [{thing for thing in things if often[thing] >= SELDOM} for things in held]
        known = Counter(self.fold[word] for words in self.train for word in words)
        every = sorted(set().union(*asked))
        which, whether = [], []
        for picture, things in enumerate(asked):
            if not things:
                continue
            right = str(self.rng.choice(sorted(things)))
            others = [str(one) for one in self.rng.permutation(every) if one not in held[picture]]
            choices = [right, *others[: SHOWN - 1]]
            order = self.rng.permutation(SHOWN)
            named = [choices[place] for place in order]
            frequent = max(range(SHOWN), key=lambda place: known[named[place]])
            shown = tuple(map(a, named))
            text = "what is in the picture?"
            which.append(Question("thing", picture, text, shown, named.index(right), frequent))
            without = [row for row, some in enumerate(held) if right not in some]
            for row, says in ((picture, 0), (int(self.rng.choice(without)), 1)):
                text = f"is there {a(right)}?"
                whether.append(Question(YES_OR_NO, row, text, ("yes", "no"), says, 0))
        return which + whether


def a(thing: str) -> str:
    """Return the thing with its article."""
    return f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}"


def answered(matcher: Matcher, seen: Seen, questions: Sequence[Question]) -> list[Answered]:
    """Return which choice ``visita.answer`` takes for each question, and its share."""
    said = [
        [claim(one.text) or ""]
        if one.kind == YES_OR_NO
        else [statement(one.text, choice) for choice in one.choices]
        for one in questions
    ]
    pictures = np.repeat([one.picture for one in questions], list(map(len, said)))
    found = pair_scores(matcher, seen, pictures, [one for some in said for one in some])
    ends = np.cumsum(list(map(len, said)))[:-1]
    each = (np.split(scores, ends) for scores in found)
    rows = []
    for question, some, scores, matched in zip(questions, said, *each, strict=True):
        if question.kind == YES_OR_NO:
            rows.append(Answered(int(matched[0] < matcher.threshold), None))
        else:
            parts = shares(matcher, scores, some)
            share = None if parts is None else float(parts.max())
            rows.append(Answered(int(scores.argmax()), share))
    return rows


def pair_scores(
    matcher: Matcher, seen: Seen, pictures: NDArray[np.int64], texts: Sequence[str]
) -> tuple[FloatArray, FloatArray]:
    """Return the scores of pictures, by their rows, with the texts beside them, (p,) float32.

    First those of a search, then what the matcher's threshold is for.
    """
    distinct = sorted(set(texts))
    rows = np.searchsorted(distinct, texts)
    vectors = matcher.embed_texts(text_features(distinct, matcher.open_text_encoder()))
    both = seen.vectors[pictures], vectors[rows]
    found, second = np.einsum("pd,pd->p", *both), None
    if matcher.reranker:
        second = np.empty_like(found)
        for row, packed in enumerate(matcher.reranker.pack_texts(distinct)):
            at = np.flatnonzero(rows == row)
            second[at] = matcher.reranker.scores(seen.packed[pictures[at]], packed)
        found = matcher.combine(found, second)
    others = matcher.retriever.any_texts
    features = match_features(*both, word_counts(texts), second, others)
    return found, match_scores(matcher, found, features)


def measure(
    questions: Sequence[Question], answers: dict[str, list[Answered]], seed: int
) -> dict[str, Any]:
    """Return, for each kind of question, accuracies in percent and their differences."""
    found: dict[str, Any] = {}
    for kind in dict.fromkeys(one.kind for one in questions):
        rows = [row for row, one in enumerate(questions) if one.kind == kind]
        asked = [questions[row] for row in rows]
        _, groups = np.unique([one.picture for one in asked], return_inverse=True)
        frequent = np.array([100.0 * (one.frequent == one.right) for one in asked])
        right = {
            name: np.array(
                [
                    100.0 * (some[row].choice == one.right)
                    for row, one in zip(rows, asked, strict=True)
                ]
            )
            for name, some in answers.items()
        }
        first = next(iter(answers))
        found[kind] = {
            "questions": len(asked),
            "chance": 100 / len(asked[0].choices),
            "most frequent": mean(frequent, groups, seed),
            "matchers": {
                name: {
                    "accuracy": mean(hits, groups, seed),
                    "said": said([answers[name][row].share for row in rows]),
                    "over most frequent": difference(frequent, hits, groups, seed),
                    f"over {first}": difference(right[first], hits, groups, seed),
                }
                for name, hits in right.items()
            },
        }
    return found


def said(shares: Sequence[float | None]) -> float | None:
    """Return in percent how probable the answers were called in the mean, if they were."""
    known = [one for one in shares if one is not None]
    return 100 * float(np.mean(known)) if known else None


def mean(values: Values, groups: NDArray[np.int64], seed: int) -> dict[str, float]:
    """Return the mean with its 95 % interval over groups, such as pictures."""
    sums, counts = group_sums(values, groups), np.bincount(groups)
    [found] = estimates(lambda w: w @ sums / (w @ counts)[:, None], len(counts), seed=seed)
    return found.to_dict()


def difference(
    before: Values, after: Values, groups: NDArray[np.int64], seed: int
) -> dict[str, float]:
    """Return the paired difference with its 95 % interval over pictures."""
    return paired_difference(before, after, groups, seed=seed).to_dict()


def markdown(report: dict[str, Any]) -> str:
    """Return the report as a page."""
    rows = []
    for kind, one in report["kinds"].items():
        rows.append(
            f"| **{kind}**, {one['questions']:,} questions | chance | {one['chance']:.1f} | | |"
        )
        rows.append(f"| | most frequent | {interval(one['most frequent'])} | | |")
        for name, numbers in one["matchers"].items():
            others = [interval(numbers[key], "+") for key in numbers if key.startswith("over ")]
            if name == next(iter(one["matchers"])):
                others[1] = ""
            accuracy = interval(numbers["accuracy"])
            if numbers["said"] is not None:
                accuracy += f" (said: {numbers['said']:.0f})"
            rows.append(f"| | {name} | {accuracy} | {' | '.join(others)} |")
    first = next(iter(next(iter(report["kinds"].values()))["matchers"]))
    table = "\n".join(rows)
    return f"""# Questions made from captions

`runs/answering.py` writes this page. Questions about dev pictures come from their captions, as
"what colour is the shirt?" from "a red shirt"; `visita answer` chooses among {len(COLOURS)}
colours, {len(NUMBERS)} numbers, {SHOWN} things, or yes and no. *Most frequent* is the answer that
the training captions have most often, for that thing. Accuracy is in percent, with 95 % intervals
over pictures; *said* is how probable the chosen answers were called, in the mean.

| questions | answered by | accuracy | over most frequent | over {first} |
|---|---|---|---|---|
{table}

A caption leaves out most of what a picture shows, so some answers counted as wrong are right: a
thing that no caption names, a shirt of a second person.
"""


def interval(one: dict[str, float], sign: str = "") -> str:
    """Return ``value [low, high]``."""
    value, low, high = (f"{one[key]:{sign}.1f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


if __name__ == "__main__":
    main()
