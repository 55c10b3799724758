"""The long tail against plain loops: frequencies of words, bins and their recall."""

from __future__ import annotations

import re

import numpy as np
import pytest

from visita.errors import DataError
from visita.evaluation import FREQUENCIES, rarest_words, recall_by_frequency
from visita.evaluation.retrieval import CUTOFFS

VOCABULARY = [f"word{number}" for number in range(60)]


def naive_bin(frequency: float) -> str:
    if frequency == 0:
        return "none"
    if frequency in (1, 2):
        return "1–2"
    if frequency <= 10:
        return "3–10"
    return "11–100" if frequency <= 100 else "over 100"


def sentences(rng: np.random.Generator, count: int) -> list[str]:
    # Zipf's law, as in real texts: a few words in nearly every sentence, most in hardly any.
    chances = 1 / np.arange(1, len(VOCABULARY) + 1)
    chosen = [rng.choice(VOCABULARY, 5, p=chances / chances.sum()) for _ in range(count)]
    return [f"The {' '.join(words)}, and a {words[0].upper()}." for words in chosen]


def test_the_rarest_word_is_counted_as_a_loop_does():
    rng = np.random.default_rng(0)
    learnt, texts = sentences(rng, 150), [*sentences(rng, 80), "A wholly new Zyzzyva"]
    found = rarest_words(texts, learnt)
    for text, frequency in zip(texts, found, strict=True):
        own = set(re.findall(r"word\d+|zyzzyva|wholly|new", text.lower()))
        holders = [
            sum(bool(re.search(rf"\b{word}\b", one.lower())) for one in learnt) for word in own
        ]
        assert frequency == min(holders)
    assert found[-1] == 0
    assert len({naive_bin(one) for one in found}) >= 4


def test_words_without_a_meaning_are_no_rare_words():
    learnt = ["a dog", "dogs and a dog", "a cat"]
    texts = ["The dog is under there", "a CAT.", "dogs", "of the"]
    assert rarest_words(texts, learnt).tolist() == [2, 1, 1, np.inf]


def test_chinese_is_cut_into_words():
    pytest.importorskip("jieba", reason="needs the extra chinese")
    assert rarest_words(["小狗", "海滩上的猫"], ["小狗在海滩", "小狗"]).tolist() == [2, 0]


def untied(ranks: np.ndarray) -> np.ndarray:
    return np.stack([ranks - 1, np.zeros_like(ranks), np.ones_like(ranks)], axis=-1)


def test_each_bin_s_recall_is_that_of_its_own_texts():
    rng = np.random.default_rng(1)
    frequencies = rng.choice([0, 1, 2, 3, 10, 11, 100, 101, 5000, np.inf], 400)
    ranks, groups = rng.integers(1, 20, 400), np.arange(400) // 5
    found = recall_by_frequency(untied(ranks), frequencies, groups, seed=0, resamples=200)
    names = np.array([naive_bin(one) for one in frequencies])
    assert list(found) == list(FREQUENCIES)
    for name, one in found.items():
        own = ranks[names == name]
        assert one.texts == len(own)
        for cutoff, estimate in zip(CUTOFFS, one.recall, strict=True):
            assert estimate.value == pytest.approx(100 * sum(r <= cutoff for r in own) / len(own))
            assert estimate.low <= estimate.value <= estimate.high


def test_the_interval_resamples_groups_and_not_texts():
    # Within a group all is right or all is wrong, so texts of a group tell nothing new.
    ranks, groups = np.repeat([1, 50] * 20, 25), np.repeat(np.arange(40), 25)
    found = recall_by_frequency(untied(ranks), np.zeros(1000), groups, seed=0)["none"].recall[0]
    expected = 1.96 * 100 * np.sqrt(0.25 / 40)
    assert found.high - found.value == pytest.approx(expected, rel=0.15)


def test_a_bin_with_one_group_is_left_out():
    found = recall_by_frequency(
        untied(np.ones(6, int)),
        np.array([0, 0, 5, 5, 1000, 1000.0]),
        np.array([3, 3, 0, 1, 0, 1]),
        seed=0,
    )
    assert list(found) == ["3–10", "over 100"]


def test_ranks_of_other_texts_are_refused():
    with pytest.raises(DataError, match="3 ranks, 2 frequencies and 3 groups"):
        recall_by_frequency(np.ones(3), np.ones(2), np.arange(3), seed=0)
