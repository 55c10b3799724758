"""How far captions agree with what people wrote: BLEU-4 and CIDEr-D.

BLEU is that of Papineni et al. (2002) over all pictures, with the nearest reference's length;
CIDEr-D that of Vedantam et al. (2015), as the COCO captioning evaluation computes it, on plain
words in lower case in place of its tokenizer's.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Grams = Counter[tuple[str, ...]]
LONGEST = 4
"""Words of the longest n-gram, for both."""
SIGMA = 6.0
"""Words of difference in length at which CIDEr-D's penalty is exp(-1/2)."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def caption_words(text: str) -> list[str]:
    """Return the words that are compared."""
    return _WORD.findall(text.lower())


def bleu_counts(
    captions: Sequence[str], references: Sequence[Sequence[str]]
) -> NDArray[np.float64]:
    """Return what ``bleu`` sums up, float64 (n, 10), a row a picture with its references.

    Found and all n-grams of the caption, for n = 1 … 4, its length and the nearest
    reference's.
    """
    rows = []
    for caption, others in zip(captions, references, strict=True):
        own, theirs = _grams(caption), [_grams(reference) for reference in others]
        most: Grams = Counter()
        for grams in theirs:
            most |= grams
        length = _length(own)
        nearest = min(map(_length, theirs), key=lambda size: (abs(size - length), size))
        rows.append([*_by_size(own & most), *_by_size(own), length, nearest])
    return np.array(rows, np.float64)


def bleu(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return BLEU-4 in percent, float64 (r, 1), from r sums of rows of ``bleu_counts``."""
    matched, written = counts[:, :LONGEST], counts[:, LONGEST : 2 * LONGEST]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.exp(np.log(matched / written).mean(axis=1))
        brief = np.exp(np.minimum(0, 1 - counts[:, -1] / counts[:, -2]))
    return np.asarray(np.nan_to_num(100 * precision * brief)[:, None])


def cider_d(captions: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Return CIDEr-D of each caption, float64 (n,), times 100 as is customary.

    What an n-gram tells is -log of the share of the n pictures whose references have it, so
    one picture alone has 0.
    """
    theirs = [[_grams(reference) for reference in others] for others in references]
    having = Counter(gram for own_references in theirs for gram in set().union(*own_references))
    rarity = {gram: math.log(len(theirs) / count) for gram, count in having.items()}
    unknown = math.log(max(1, len(theirs)))
    scores = []
    for caption, own_references in zip(captions, theirs, strict=True):
        own = _weighed(_grams(caption), rarity, unknown)
        length = len(caption_words(caption))
        values = [
            _similarity(own, _weighed(grams, rarity, unknown))
            * math.exp(-((length - _length(grams)) ** 2) / (2 * SIGMA**2))
            for grams in own_references
        ]
        scores.append(1000 * float(np.mean(values)))
    return np.array(scores)


def _grams(text: str) -> Grams:
    words = caption_words(text)
    return Counter(
        tuple(words[start : start + size])
        for size in range(1, LONGEST + 1)
        for start in range(len(words) - size + 1)
    )


def _length(grams: Grams) -> int:
    return _by_size(grams)[0]


def _by_size(grams: Grams) -> list[int]:
    sizes = Counter(dict.fromkeys(range(1, LONGEST + 1), 0))
    for gram, count in grams.items():
        sizes[len(gram)] += count
    return [sizes[size] for size in range(1, LONGEST + 1)]


def _weighed(
    grams: Grams, rarity: Mapping[tuple[str, ...], float], unknown: float
) -> dict[tuple[str, ...], float]:
    return {gram: count * rarity.get(gram, unknown) for gram, count in grams.items()}


def _similarity(
    own: Mapping[tuple[str, ...], float], reference: Mapping[tuple[str, ...], float]
) -> float:
    """Return the clipped cosine, the mean over n."""
    dots, squares, others = (np.zeros(LONGEST) for _ in range(3))
    for gram, value in own.items():
        squares[len(gram) - 1] += value**2
        if gram in reference:
            dots[len(gram) - 1] += min(value, reference[gram]) * reference[gram]
    for gram, value in reference.items():
        others[len(gram) - 1] += value**2
    lengths = np.sqrt(squares * others)
    return float(np.mean(dots / np.where(lengths > 0, lengths, 1)))
