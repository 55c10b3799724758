"""Several text encoders as one: every one of them still gives what it gives alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from visita.encoders.joined_text import JoinedText, side_by_side
from visita.encoders.minilm import MiniLM
from visita.encoders.topics.lsa import LSA
from visita.store.extract import extract_texts
from visita.testing import check_text_encoder
from visita.types import TextFeatures

CORPUS = [
    f"{thing} on the {place}"
    for thing in ("a dog", "two cats", "a red boat", "snow")
    for place in ("beach", "hill", "beach and the hill")
]


class Words:
    """Cuts a text into passages of so many words; a passage is the lengths of its words."""

    levels = ("lengths",)
    dim = 2

    def __init__(self, words: int) -> None:
        self.words = words
        self.name = f"words-{words}"

    def fingerprint(self) -> str:
        return self.name

    def encode(self, texts: Sequence[str]) -> TextFeatures:
        passages = [self._cut(text.split()) for text in texts]
        offsets = np.cumsum([0, *map(len, passages)]).astype(np.int64)
        rows = [[len(p), sum(map(len, p))] for some in passages for p in some]
        return TextFeatures(offsets, np.array(rows, np.float32).reshape(-1, 2))

    def _cut(self, words: list[str]) -> list[list[str]]:
        starts = range(0, max(len(words), 1), self.words)
        return [words[start : start + self.words] for start in starts]


@pytest.fixture(scope="module")
def topics() -> LSA:
    return LSA.fit(CORPUS, 4, 0)


@pytest.fixture(scope="module")
def joined(sentences, topics) -> JoinedText:
    return JoinedText([topics, sentences])


@pytest.mark.slow
def test_the_contract(topics):
    check_text_encoder(JoinedText([topics, Words(7), Words(5)]))


@pytest.mark.slow
def test_each_encoder_gives_what_it_gives_alone(joined, sentences, topics):
    texts = ["a dog on the hill", "the quick brown fox " * 80, ""]
    together, alone = joined.encode(texts), sentences.encode(texts)
    assert together.vectors.shape == (len(alone.vectors), sentences.dim + topics.dim)
    # Only MiniLM cuts the long text, so its passages are those of the whole.
    assert np.array_equal(together.offsets, alone.offsets)
    assert np.array_equal(joined.select(together, sentences).vectors, alone.vectors)
    topic = joined.select(together, topics).pooled()
    assert np.allclose(topic, topics.encode(texts).vectors, atol=1e-6)


def test_a_text_is_cut_as_by_the_encoder_that_cuts_it_most():
    three, two = Words(3), Words(2)
    joined = JoinedText([three, two])
    texts = ["a", "one two three", "one two three four five six", ""]
    found = joined.encode(texts)
    assert np.diff(found.offsets).tolist() == [1, 2, 3, 1]
    by_three, by_two = joined.select(found, three), joined.select(found, two)
    assert np.array_equal(by_two.vectors, two.encode(texts).vectors)
    assert by_three.vectors.tolist() == [[1, 1], *[[3, 11]] * 2, *[[3, 11.0]] * 3, [0, 0]]
    assert np.allclose(by_three.pooled(), three.encode(texts).pooled())


def test_levels_of_one_encoder_are_read_once():
    some, more = MiniLM(("layer6",)), MiniLM(("layer3", "layer5"))
    joined = JoinedText([some, more])
    assert joined.levels == ("layer3", "layer5", "layer6")
    assert (joined.name, joined.fingerprint()) == ("minilm-l6", some.fingerprint())
    rows = np.arange(2 * joined.dim, dtype=np.float32).reshape(2, -1)
    features = TextFeatures(np.arange(3), rows)
    assert np.array_equal(joined.select(features, some).vectors, rows[:, 768:])
    assert np.array_equal(joined.select(features, more).vectors, rows[:, :768])
    turned = MiniLM(("layer6", "layer3"))
    expected = np.concatenate([rows[:, 768:], rows[:, :384]], axis=1)
    assert np.array_equal(joined.select(features, turned).vectors, expected)


def test_one_encoder_stays_itself(sentences):
    joined = JoinedText([sentences, MiniLM(("layer6",))])
    assert joined.encoders == (sentences,)
    assert (joined.levels, joined.dim) == (sentences.levels, sentences.dim)


def test_encoders_of_one_name_are_told_apart(topics):
    other = LSA.fit(CORPUS[::2], 3, 0)
    joined = JoinedText([topics, other, LSA.fit(CORPUS, 4, 0)])
    assert len(joined.encoders) == 2
    found = joined.encode(CORPUS)
    assert np.array_equal(joined.select(found, other).vectors, other.encode(CORPUS).vectors)
    assert JoinedText([other, topics]).fingerprint() != joined.fingerprint()


def test_each_encoder_keeps_a_store_of_its_own(tmp_path, topics):
    words = Words(2)
    whole = extract_texts(CORPUS, JoinedText([topics, words]), tmp_path)
    stores = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert len(stores) == 2
    assert np.array_equal(
        extract_texts(CORPUS, words, tmp_path).vectors, words.encode(CORPUS).vectors
    )
    assert set(tmp_path.iterdir()) == set(stores)
    expected = side_by_side([topics.encode(CORPUS), words.encode(CORPUS)])
    assert np.array_equal(whole.vectors, expected.vectors)
    assert np.array_equal(whole.offsets, expected.offsets)
