"""Words cut into the pieces of a unigram vocabulary (Kudo, 2018): the likeliest cut, by Viterbi.

The library ``tokenizers`` cuts alike; to set up its vocabulary of 250,000 pieces takes it as long
as a whole search.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence

SPACE = "▁"
"""What a piece begins with that begins a word."""
_WORD = re.compile(" [^ ]*")
UNKNOWN = 10.0
"""How much less likely a letter without a piece is than the least likely piece."""


class Unigram:
    """A vocabulary of pieces.

    Parameters
    ----------
    pieces : sequence of str
        By id. One that is empty is no piece of a text.
    scores : sequence of float
        Logarithm of how likely each is.
    unknown : int
        The id of a letter without a piece.
    normal : mapping
        What a letter, by its code, is read as; another is read as it is.
    """

    def __init__(
        self,
        pieces: Sequence[str],
        scores: Sequence[float],
        unknown: int,
        normal: Mapping[int, str],
    ) -> None:
        self._ids = {piece: number for number, piece in enumerate(pieces) if piece}
        self._scores = scores
        self._unknown = unknown
        self._normal = normal
        self._least = min(scores) - UNKNOWN
        self._longest = max(map(len, self._ids))

    def cut(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of a text's pieces, and where each is in it: start and end."""
        letters = self._letters(text)
        said = "".join(letter for letter, _ in letters)
        ids: list[int] = []
        spans = []
        for word in _WORD.finditer(said):
            start = word.start()
            for number, length in self._likeliest(SPACE + word[0][1:]):
                places = [place for _, place in letters[start : start + length]]
                spans.append((places[0], places[-1] + 1))
                ids.append(number)
                start += length
        return ids, spans

    def _letters(self, text: str) -> list[tuple[str, int]]:
        """Return what is read, from a space on, no two of them in a row, and where each is."""
        read = [
            (letter, place)
            for place, original in enumerate(text)
            for letter in self._normal.get(ord(original), original)
        ]
        started = [(" ", 0), *read]
        return [started[0]] + [
            letter
            for before, letter in zip(started, read, strict=False)
            if (before[0], letter[0]) != (" ", " ")
        ]

    def _likeliest(self, word: str) -> list[tuple[int, int]]:
        """Return ids and lengths of the pieces of a word that are likeliest together."""
        best = [0.0, *[-math.inf] * len(word)]
        last = [(self._unknown, 0)] * len(best)
        for start in range(len(word)):
            for number, length, score in self._pieces_at(word, start):
                total = best[start] + score
                if total > best[start + length]:
                    best[start + length] = total
                    last[start + length] = number, length
        end, pieces = len(word), []
        while end:
            pieces.append(last[end])
            end -= last[end][1]
        return pieces[::-1]

    def _pieces_at(self, word: str, start: int) -> Iterator[tuple[int, int, float]]:
        """Yield id, length and score of the pieces that begin here; the unknown comes last."""
        for end in range(start + 1, min(len(word), start + self._longest) + 1):
            number = self._ids.get(word[start:end])
            if number is not None:
                yield number, end - start, self._scores[number]
        yield self._unknown, 1, self._least
