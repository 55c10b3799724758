"""The words read in pictures, as a kernel beside that of the vectors.

The score of a text is that of the vectors plus Σ β_f k_f(text, field f), where k_f is the part of
the text's words that the field holds. No common words count, and a plural is its singular.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

WEIGHTS = {"words": 0.8}
"""The betas, by column of a gallery's table, chosen on pictures with signs
(``docs/results/words-kernels.md``). Of titles, captions, keywords, folders and places they are 0:
none was measured, and one that is guessed makes probabilities too high."""
_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    _WORD.findall(
        "a about above across after against all along also an and another any are around as at "
        "away back be been before behind being below beside between both but by can do does down "
        "each few for from front go has have he her here him his how i in into is it its just "
        "like many me more most much my near next no not of off on one only or other our out over "
        "own says she some such than that the their them then there these they this those through "
        "to together too two under up very was we were what when where which while who whose why "
        "will with without you your picture photo photograph image "
    )
)


@lru_cache(10_000)
def words_of(text: str) -> frozenset[str]:
    """Return the words of a text that tell something, without case, accents and plurals."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    bare = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return frozenset(_singular(word) for word in _WORD.findall(bare) if word not in _COMMON)


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def share(text: str, said: str) -> float:
    """Return which part of a text's words is said, from 0 to 1."""
    wanted = words_of(text)
    return len(wanted & words_of(said)) / len(wanted) if wanted else 0.0


def kernels(text: str, fields: Mapping[str, str]) -> dict[str, float]:
    """Return what each field of ``WEIGHTS`` adds to the score of a text, where that is not 0."""
    added = {
        name: weight * share(text, fields[name])
        for name, weight in WEIGHTS.items()
        if name in fields
    }
    return {name: value for name, value in added.items() if value}
