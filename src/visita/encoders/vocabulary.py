"""A vocabulary of words, fitted on training texts: texts in, numbers of words out."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of, read_json, write_json
from visita.encoders.topics.corpus import SEGMENTER, known_words
from visita.encoders.topics.corpus import words as cut
from visita.errors import ArtifactError, DataError, MismatchError
from visita.progress import say
from visita.types import Tokens

PADDING, UNKNOWN = 0, 1
"""The numbers of no word and of any word that is not known; those known follow."""
LONGEST = 2**16
MIN_COUNT = 2
"""How often a word has to occur: the others teach what an unknown word is."""


class Vocabulary:
    """Known words, each with a number; what a text side of MKL-VisITA reads.

    As in the paper all texts are brought to one length: ``Tokens.padded`` fills them up, and
    ``tokens`` cuts those that are longer, which stderr is told. Searching cuts a text into
    sentences before, so there only a sentence longer than that loses its end.

    Attributes
    ----------
    words : tuple of str
        The known ones, most frequent first; the first has the number 2.
    longest : int
        Words of a text that are read.
    """

    name = "vocabulary"
    levels: tuple[str, ...] = ("words",)
    languages = None
    """Those of the texts that it is fitted on."""

    def __init__(self, words: Sequence[str], longest: int) -> None:
        self.words = tuple(words)
        self.longest = longest
        self._numbers = {word: number for number, word in enumerate(self.words, UNKNOWN + 1)}

    @classmethod
    def fit(cls, texts: Sequence[str], size: int, longest: int) -> Self:
        """Return the at most ``size`` most frequent words of ``texts``, equal ones by alphabet.

        Raises
        ------
        DataError
            If no word occurs twice.
        """
        counts = Counter(word for text in texts for word in cut(text))
        frequent = [word for word, count in counts.items() if count >= MIN_COUNT]
        if not frequent:
            raise DataError(f"No word occurs twice in the {len(texts)} texts; train on more texts.")
        return cls(sorted(frequent, key=lambda word: (-counts[word], word))[:size], longest)

    def __len__(self) -> int:
        """Return how many numbers there are, those of padding and unknown words included."""
        return UNKNOWN + 1 + len(self.words)

    def fingerprint(self) -> str:
        """Return a hash over words, length and the way texts are cut into words."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint_of([self.name, SEGMENTER, self.longest, self.words])

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Return the numbers of each text's words, int64; of one without known words, one unknown.

        At most ``longest`` of a text; how many texts are longer is said on stderr.
        """
        numbered = [self._known(cut(text)) for text in texts]
        longer = sum(len(numbers) > self.longest for numbers in numbered)
        if longer:
            say(f"{longer} of {len(texts)} texts: only the first {self.longest} words are read")
        shortened = [numbers[: self.longest] for numbers in numbered]
        offsets = np.concatenate([[0], np.cumsum([len(numbers) for numbers in shortened])])
        values = np.array([number for numbers in shortened for number in numbers], np.int64)
        return Tokens(offsets.astype(np.int64), values)

    def spans(self, text: str) -> NDArray[np.int64]:
        """Return where each token of a text is in it, int64 (t, 2): start and end.

        Each is the whole text where its letters change their number in lower case.
        """
        lower = unicodedata.normalize("NFKC", text).casefold()
        words = cut(text)
        if self._known(words) == [UNKNOWN] or len(lower) != len(text):
            count = min(self.longest, len(self._known(words)))
            return np.tile(np.array([0, len(text)], np.int64), (count, 1))
        spans, end = [], 0
        for word in words[: self.longest]:
            start = lower.index(word, end)
            end = start + len(word)
            spans.append((start, end))
        return np.array(spans, np.int64)

    def _known(self, words: Sequence[str]) -> list[int]:
        numbers = [self._numbers.get(word, UNKNOWN) for word in words]
        return numbers if any(number != UNKNOWN for number in numbers) else [UNKNOWN]

    def save(self, path: Path) -> None:
        """Write it as a JSON file."""
        facts = {"segmenter": SEGMENTER, "longest": self.longest, "words": self.words}
        write_json(path, facts)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a saved one, which gives the same numbers.

        Raises
        ------
        ArtifactError
            If the file is none.
        MismatchError
            If texts were cut into words by other rules then.
        """
        saved = read_json(path)
        words, longest = known_words(path, saved.get("words")), saved.get("longest")
        if type(longest) is not int or not 0 < longest <= LONGEST:
            raise ArtifactError(f"{path} is no vocabulary visita can read; copy it again.")
        rules = saved.get("segmenter")
        if rules != SEGMENTER:
            raise MismatchError(
                f"{path} knows words by the rules {rules!s:.100}, this visita cuts them by "
                f"{SEGMENTER}; train again."
            )
        return cls(words, longest)
