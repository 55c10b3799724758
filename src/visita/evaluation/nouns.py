"""Nouns of English captions, found without a tagger.

In a caption a noun closes a phrase. It mostly comes after a determiner or a modifier
("a dog", "a brown dog") and often before a preposition, a form of *be* or *have*,
*and* or the end ("dog in"); a modifier comes after a determiner but seldom before
such a word; a verb form seldom comes after either. The ratios are taken from the
captions at hand, plurals counted with their singular. "of" is left out of the words
that follow, which drops *group of*, *front of*, *top of*.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

# Ratios over the captions; chosen by reading the words they give on Flickr8k's dev split.
NOUN_OPENED, NOUN_CLOSED = 0.5, 0.4
MODIFIER_OPENED, MODIFIER_CLOSED = 0.3, 0.25

_END = "."
_WORD = re.compile(r"[a-z]+(?:['-][a-z]+)*|[^\sa-z'-]+")
_PLURALS = {"men": "man", "women": "woman", "children": "child", "feet": "foot"}
_KEPT_PLURALS = frozenset({"shorts", "glasses", "woods"})  # not those of short, glass, wood


def _terms(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DETERMINERS = _terms(
    "a an the one two three four five six some several many another each both "
    "his her its their my your our"
)
_CLOSERS = _terms(
    "in on at with by near over through into under behind down up from to for across along "
    "around against off onto beside between above inside outside while as toward towards past "
    "during after before next among out away is are was were has have and or who that which " + _END
)
# Words about the picture or a place in it, not about what it shows, are no queries either.
_NO_QUERIES = (
    _DETERMINERS
    | _CLOSERS
    | _terms(
        "of other others something someone it them him background foreground picture photo "
        "photograph camera view air area side front back top middle bottom distance"
    )
)


def find_nouns(texts: Iterable[str]) -> tuple[list[str], list[list[str]]]:
    """Return the nouns of the texts, sorted, and each text's words, plurals folded."""
    sentences = [_words(text) for text in texts]
    fold = _folding(sentences)
    folded = [[fold.get(word, word) for word in words] for words in sentences]
    return sorted(_nouns(folded)), folded


def _words(text: str) -> list[str]:
    found = (part if part[0].isalpha() else _END for part in _WORD.findall(text.lower()))
    return [_END, *found, _END]


def _folding(sentences: Iterable[Sequence[str]]) -> dict[str, str]:
    """Map plurals to singulars that the texts hold too: dogs → dog, benches → bench."""
    known = {word for words in sentences for word in words} - _NO_QUERIES
    fold = dict(_PLURALS)
    for word in sorted(known - _KEPT_PLURALS):
        for ending, singular_ending in (("ies", "y"), ("s", ""), ("es", "")):
            singular = word.removesuffix(ending) + singular_ending
            if word.endswith(ending) and not word.endswith("ss") and singular in known:
                fold.setdefault(word, singular)
    return fold


def _nouns(sentences: Iterable[Sequence[str]]) -> set[str]:
    triples = Counter(
        (before, word, after)
        for words in sentences
        for before, word, after in zip(words, words[1:], words[2:], strict=False)
        if word not in _NO_QUERIES
    )
    opened = _ratios(triples, lambda before, _: before in _DETERMINERS)
    closed = _ratios(triples, lambda _, after: after in _CLOSERS)
    modifiers = {
        word
        for word in opened
        if opened[word] >= MODIFIER_OPENED and closed[word] <= MODIFIER_CLOSED
    }
    opened = _ratios(triples, lambda before, _: before in _DETERMINERS or before in modifiers)
    return {word for word in opened if opened[word] >= NOUN_OPENED and closed[word] >= NOUN_CLOSED}


def _ratios(
    triples: Mapping[tuple[str, str, str], int], holds: Callable[[str, str], bool]
) -> dict[str, float]:
    """Return, for each word, the share of its occurrences whose neighbours satisfy ``holds``."""
    total: Counter[str] = Counter()
    yes: Counter[str] = Counter()
    for (before, word, after), count in triples.items():
        total[word] += count
        yes[word] += count * holds(before, after)
    return {word: yes[word] / total[word] for word in total}
