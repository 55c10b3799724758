"""Long texts: cut into passages, and weighed by how far the passages agree.

An article says what its picture shows in several places and in other words each time,
and much besides. So a passage counts as much as others say the like: its eigenvector
centrality among the passages, as LexRank does for summaries (Erkan & Radev 2004). A text
of any length is then one vector, and a gallery of any size is searched as for a caption.
``docs/results/long-texts.md`` compares this with other ways.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import islice, pairwise

import numpy as np

from visita.arguments import expect
from visita.data.prose import sentences
from visita.errors import DataError
from visita.types import FloatArray
from visita.vectors import unit

MAX_PASSAGES = 2048
"""A longer text has longer passages, not more: their agreement is a table of this many squared."""
LONGEST = 300_000
"""Words of a text; a Chinese character is one."""
MOST_SIGNS = 100_000
"""Of a text; prose has one for six words or more. An encoder has a token for each."""
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")
_SIGN = re.compile(r"[^\w\s]")
MAX_WORDS = 60
"""Words a sentence, as a sentence without an end (a transcript) says many things."""
AGREEING = (0.3, 0.5)
"""Cosines at which two passages begin to agree, and fully do: on Flickr8k's dev split 99 % of
captions of different images are below the first, 57 % of the same image's above the second."""
STEPS = 20
"""Of the power iteration; two subjects of nearly equal weight both remain."""


def passages(text: str) -> list[str]:
    """Return the sentences of a text, each once, in order; none for a blank text.

    A sentence of more than ``MAX_WORDS`` words is cut into nearly equal parts; of more than
    ``MAX_PASSAGES`` sentences, neighbours are joined. No word is left out.

    Raises
    ------
    TypeError
        If the text is no str.
    DataError
        If the text has more than ``LONGEST`` words or ``MOST_SIGNS`` signs: an encoder reads
        some thousand of them a second.
    """
    expect(text, str, "A text is a str")
    if _has_more(_WORD, text, LONGEST) or _has_more(_SIGN, text, MOST_SIGNS):
        raise DataError(
            f"The text has more than {LONGEST:,} words or {MOST_SIGNS:,} signs; give the part that "
            f"matters."
        )
    return _passages(text)


def _has_more(pattern: re.Pattern[str], text: str, most: int) -> bool:
    return next(islice(pattern.finditer(text), most, None), None) is not None


def _passages(text: str) -> list[str]:
    pieces = [piece for sentence in sentences(text) for piece in _parts(sentence)]
    once = list(dict.fromkeys(pieces))
    count = min(len(once), MAX_PASSAGES)
    return [" ".join(once[start:end]) for start, end in _spans(len(once), count)]


def agreement(vectors: FloatArray, agreeing: tuple[float, float] = AGREEING) -> FloatArray:
    """Return how much each passage counts, float32 (p,), positive, with sum 1.

    One passage has weight 1, two have half each, and so have passages that have nothing to
    do with each other all the same. Time and memory grow with p².

    Parameters
    ----------
    vectors : float32 (p, d)
        Of at least one passage, of any length; a zero vector agrees with none.
    """
    count = len(vectors)
    low, high = agreeing
    directions = unit(vectors)
    links = np.clip((directions @ directions.T - low) / (high - low), 0, 1)
    np.fill_diagonal(links, 0)
    weights = np.full(count, 1 / count)
    for _ in range(STEPS):
        # Besides, each agrees a little with all, one full agreement in sum: LexRank's damping.
        weights = links @ weights + weights.sum() / count
        weights /= weights.sum()
    return np.asarray(weights, np.float32)


def pooled(vectors: FloatArray, weights: FloatArray) -> FloatArray:
    """Return the weighted sum of vectors, as long as these by their weights, float32 (d,).

    Zero where they cancel out or all are zero; a zero vector does not count.

    Parameters
    ----------
    vectors : float32 (p, d)
    weights : float32 (p,)
    """
    total = weights @ vectors
    norm = np.linalg.norm(total)
    if norm < 1e-6:
        return np.zeros_like(vectors[0])
    lengths = np.linalg.norm(vectors, axis=1)
    shares = np.abs(weights) * (lengths > 0)
    return np.asarray(total / norm * (shares @ lengths / shares.sum()), np.float32)


def text_vectors(texts: Sequence[str], embed: Callable[[Sequence[str]], FloatArray]) -> FloatArray:
    """Return one vector a text of any length, float32 (m, d): its passages by their agreement.

    As a search has them. ``embed`` gives the vectors of passages, float32 (p, d); agreement is
    that in their space.
    """
    cut = [_passages(text) or [text] for text in texts]
    vectors = embed([passage for pieces in cut for passage in pieces])
    spans = pairwise(np.cumsum([0, *map(len, cut)]))
    grouped = (vectors[a:b] for a, b in spans)
    return np.array([pooled(group, agreement(group)) for group in grouped], np.float32)


def _parts(sentence: str) -> list[str]:
    words = sentence.split()
    if len(words) <= MAX_WORDS:
        return [sentence]
    return [" ".join(words[a:b]) for a, b in _spans(len(words), -(-len(words) // MAX_WORDS))]


def _spans(length: int, parts: int) -> list[tuple[int, int]]:
    return list(pairwise(round(part * length / max(parts, 1)) for part in range(parts + 1)))
