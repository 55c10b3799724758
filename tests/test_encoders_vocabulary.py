"""Vocabularies: known words by number, nothing cut without a word, the same after reading back."""

from __future__ import annotations

import json

import numpy as np
import pytest

from visita.encoders.vocabulary import PADDING, UNKNOWN, Vocabulary
from visita.errors import ArtifactError, DataError, MismatchError

TEXTS = ["A dog, a dog and a cat.", "the dog sees the cat", "Ｄｏｇ on grass", "a lone zebra"]


@pytest.fixture
def words() -> Vocabulary:
    return Vocabulary.fit(TEXTS, size=10, longest=5)


def test_the_most_frequent_words_come_first_and_rare_ones_are_unknown(words):
    assert words.words == ("a", "dog", "cat", "the")
    assert len(words) == 6
    assert Vocabulary.fit(TEXTS, size=2, longest=5).words == ("a", "dog")
    assert Vocabulary.fit(TEXTS[::-1], size=10, longest=5).fingerprint() == words.fingerprint()


def test_texts_are_numbers(words):
    tokens = words.tokens(["The DOG sees a cat", "dog", "xylophone quiz", "", "..."])
    assert tokens.offsets.tolist() == [0, 5, 6, 7, 8, 9]
    assert tokens.values.tolist() == [5, 3, UNKNOWN, 2, 4, 3, UNKNOWN, UNKNOWN, UNKNOWN]
    assert tokens.values.dtype == tokens.offsets.dtype == np.int64
    padded, mask = tokens.padded(np.array([1, 0]))
    assert padded.tolist() == [[3, PADDING, PADDING, PADDING, PADDING], [5, 3, UNKNOWN, 2, 4]]
    assert mask.tolist() == [[True, False, False, False, False], [True] * 5]
    assert len(words.tokens([])) == 0


def test_what_is_cut_is_said(words, capfd):
    tokens = words.tokens(["a dog a cat the dog a cat", "a dog", "dog " * 6])
    assert np.diff(tokens.offsets).tolist() == [5, 2, 5]
    assert tokens.values[:5].tolist() == [2, 3, 2, 4, 5]
    assert capfd.readouterr().err == "2 of 3 texts: only the first 5 words are read\n"
    words.tokens(TEXTS[1:])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "text", ["The dog -- and 2 cats: a DOG!", "a dog a dog a dog a dog", "dog"]
)
def test_spans_are_where_the_words_are(words, text):
    spans = words.spans(text)
    assert len(spans) == len(words.tokens([text]).values)
    found = [text[start:end].casefold() for start, end in spans]
    assert found == [w.strip("-:!") for w in text.casefold().split() if w != "--"][:5]


@pytest.mark.parametrize("text", ["", "zebra quiz", "straße a dog"])
def test_where_words_have_no_place_it_is_the_whole_text(words, text):
    spans = words.spans(text)
    assert len(spans) == len(words.tokens([text]).values)
    assert {tuple(span) for span in spans.tolist()} == {(0, len(text))}


def test_what_is_read_back_gives_the_same_numbers(words, tmp_path):
    words.save(tmp_path / "words.json")
    again = Vocabulary.load(tmp_path / "words.json")
    assert (again.words, again.longest) == (words.words, words.longest)
    assert again.fingerprint() == words.fingerprint()
    assert np.array_equal(again.tokens(TEXTS).values, words.tokens(TEXTS).values)
    assert Vocabulary(words.words, 6).fingerprint() != words.fingerprint()


def test_a_damaged_or_other_file_is_refused(words, tmp_path):
    path = tmp_path / "words.json"
    words.save(path)
    saved = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**saved, "segmenter": "words-0"}), "utf-8")
    with pytest.raises(MismatchError, match="knows words by the rules words-0"):
        Vocabulary.load(path)
    for wrong in ({"words": "a dog"}, {"longest": None}):
        path.write_text(json.dumps({**saved, **wrong}), "utf-8")
        with pytest.raises(ArtifactError, match=r"words\.json .*copy it again"):
            Vocabulary.load(path)


def test_texts_that_share_no_word_are_refused():
    with pytest.raises(DataError, match="No word occurs twice in the 2 texts"):
        Vocabulary.fit(["red", "blue"], 10, 5)
