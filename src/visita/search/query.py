"""What is searched for: one or more vectors, and how much each counts.

What a text does not want: "beach -dog", "a street without cars", "no cat", "not a dog".

English, and only where it is plain; what else says no is found by ``misread``, to be told. Neither
the encoders nor the captions they learnt from know negation: "no cat" is near to cats.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from visita.arguments import expect
from visita.brief import Brief
from visita.errors import DataError
from visita.matchers.pair_probability import word_counts
from visita.matchers.standing_out import Crowd
from visita.matchers.usual import usual_scores
from visita.progress import bar
from visita.search.passages import agreement, passages, pooled
from visita.types import FloatArray, Judge, Matcher, Reranker, TextEncoder
from visita.vectors import unit

_ARTICLE = r"(?:(?:any|an?|the)\s+)?"
_STOP = (
    r"(?=[,.;!?]|\s+(?:in|on|at|by|with|near|beside|behind|under|over|of|from|to|and|but|while|"
    r"that|who|which|is|are|visible|here)\b|\s[-\u2212]|\s*$)"
)
_THING = rf"{_ARTICLE}(?P<thing>[^\W_][\w'-]*(?:\s+(?!or\b)[^\W_][\w'-]*){{0,2}}?)"
_MORE = rf"(?P<more>(?:\s*,?\s+(?:or|nor)\s+{_ARTICLE}[^\W_][\w'-]*)*)"
_SAID = (
    r"(?:(?:but|with|and|that has|there\s+(?:is|are|was|were))\s+)*(?:without|no)\s+",
    r"(?:(?:but|and|it\s+is|this\s+is|that\s+is)\s+)*not\s+(?=an?\s)",
)
PLAIN = re.compile(rf"(?:^|(?<=\s)|(?<=,))(?:{'|'.join(_SAID)}){_THING}{_MORE}{_STOP}", re.I)
MINUS = re.compile(r"(?:^|(?<=\s))[-\u2212](?P<thing>[^\W\d_][\w'-]*)")
UNCLEAR = re.compile(
    r"\b(?:no|not|never|without|neither|nor|none|nobody|nothing|nowhere|except|cannot|\w+n['\u2019]t)\b",
    re.I,
)
DASH = re.compile(r"\S\s+[-\u2212](?:\s+[^\W\d_]\S*){1,3}$")
"""It may be meant to exclude what follows; before more words it is a dash."""
NO_THING = re.compile(r"no(?:\s+(?:one|entry|parking|smoking|exit)\b|\.)", re.I)
"""What only looks like it: "no entry" is a sign."""


class Wish(NamedTuple):
    """What a picture is to show, which may be ``""``, and what it is not to."""

    wanted: str
    unwanted: tuple[str, ...]


def wish(text: str) -> Wish:
    """Return what a text wants and does not want.

    >>> wish("a beach without dogs -sea")
    Wish(wanted='a beach', unwanted=('dogs', 'sea'))

    Raises
    ------
    TypeError
        If the text is no str.
    """
    expect(text, str, "A text is a str")
    unwanted: list[str] = []

    def note(match: re.Match[str]) -> str:
        if NO_THING.match(match[0]):
            return match[0]
        more = re.split(rf"\s*,?\s+(?:or|nor)\s+{_ARTICLE}", match.groupdict().get("more") or "")
        unwanted.extend(filter(None, [match["thing"], *more]))
        return " "

    rest = MINUS.sub(note, PLAIN.sub(note, text))
    if not unwanted:
        return Wish(text, ())
    words = re.sub(r"\s+([,.;!?])", r"\1", " ".join(rest.split())).strip(" ,;.")
    return Wish(re.sub(r"\s+(?:and|but)$", "", words), tuple(unwanted))


def misread(text: str) -> str:
    """Return the first word that says no and is read as any other word, or ``""``."""
    wanted = wish(text).wanted
    if DASH.search(wanted):
        return "-"
    match = UNCLEAR.search(wanted)
    return match[0] if match and not NO_THING.match(wanted[match.start() :]) else ""


Kind = Literal["text", "keywords", "picture"]
MAX_KEYWORDS = 3
AT_ONCE = 128
"""Texts that are embedded without a word; more show their progress."""
RERANKED_PASSAGES = 8
"""Of a longer query only the passages that weigh most are re-ranked by; its vector has them all."""


def kind_of(text: str) -> Kind:
    """Tell keywords, at most three words such as "dog beach", from a sentence."""
    return "keywords" if len(text.split()) <= MAX_KEYWORDS else "text"


@dataclass(frozen=True, eq=False, repr=False)
class Query(Brief):
    """All that follows from what is searched for: vectors, weights, the re-ranker's input.

    Attributes
    ----------
    vectors : float32 (p, d)
        At most 1 long, p at least 1.
    weights : float32 (p,)
        How much each counts.
    texts : tuple of str
        What the vectors are of, where that is texts.
    kind : str
        What the vectors are of together; of ``picture`` only the direction counts.
    named : bool
        Whether the vectors are those that find what the words name; see ``WordMap``.
    matcher : Matcher or None
        What the vectors are of, where it is known.
    judge : Judge or None
        What knows probabilities: the matcher, or who takes its place.
    unwanted : tuple of Query
        What a picture is not to show. Where nothing else is asked for, there are no texts, and
        the vectors point away from these.

    Raises
    ------
    DataError
        If there is no vector, the shapes do not fit or a number is not finite.
    """

    vectors: FloatArray
    weights: FloatArray
    texts: tuple[str, ...] = ()
    kind: Kind = "text"
    named: bool = False
    matcher: Matcher | None = None
    judge: Judge | None = None
    unwanted: tuple[Query, ...] = ()

    def __post_init__(self) -> None:
        shape = self.vectors.shape
        if len(shape) != 2 or not shape[0] or self.weights.shape != shape[:1]:
            raise DataError(
                f"A query needs vectors (p, d) and weights (p,), not {shape} and "
                f"{self.weights.shape}."
            )
        if not (np.isfinite(self.vectors).all() and np.isfinite(self.weights).all()):
            raise DataError("A query's vectors and weights must be finite numbers.")

    @classmethod
    def of(cls, text: str, matcher: Matcher, encoder: TextEncoder) -> Self:
        """Return the query for a text of any length, with what it does not want apart.

        Raises
        ------
        DataError
            If it is empty.
        """
        asked = wish(text)
        unwanted = tuple(cls.from_texts(passages(t), encoder, matcher) for t in asked.unwanted)
        if asked.wanted or not unwanted:
            wanted = cls.from_texts(passages(asked.wanted), encoder, matcher)
            return replace(wanted, unwanted=unwanted)
        away = unit(-np.sum([query.pooled() for query in unwanted], axis=0)[None])
        return cls(away, _weights([1]), matcher=matcher, judge=matcher, unwanted=unwanted)

    @classmethod
    def from_texts(
        cls,
        texts: Sequence[str],
        encoder: TextEncoder,
        matcher: Matcher,
        weights: Sequence[float] | None = None,
        *,
        kind: Kind | None = None,
    ) -> Self:
        """Return the query for one or more texts, such as the passages of a long one.

        Unless told otherwise, each counts as much as it agrees with the others, and they are
        keywords if they are few.

        Raises
        ------
        DataError
            If there is no text, or one is blank.
        """
        if not texts or not all(text.strip() for text in texts):
            raise DataError("The query is empty: describe what the picture should show.")
        vectors = _embedded(texts, encoder, matcher)
        counts = agreement(vectors) if weights is None else _weights(weights)
        kind = kind or kind_of(" ".join(texts))
        words = matcher.words if kind == "keywords" else None
        if words is not None:
            vectors = words(vectors)
        return cls(vectors, counts, tuple(texts), kind, words is not None, matcher, matcher)

    @classmethod
    def from_vectors(cls, vectors: FloatArray, weights: Sequence[float] | None = None) -> Self:
        """Return the query for the vectors (p, d) of pictures, equal unless told otherwise."""
        counts = _weights([1] * len(vectors) if weights is None else weights)
        return cls(vectors, counts, kind="picture")

    @classmethod
    def sum_of(cls, parts: FloatArray, weights: Sequence[float], matcher: Matcher) -> Self:
        """Return the query for a sum of texts and pictures, given by their vectors (p, d).

        The vectors of texts and of pictures lie apart, and a word's similarities to pictures vary
        less than a picture's. So each counts by its weight in units of how its own vary, where the
        matcher has pictures that stand for any.
        """
        directions, spread = unit(parts), np.ones(len(parts))
        if matcher.background is not None:
            spread = usual_scores(unit(matcher.background), directions).spread
        counts = np.asarray(weights / spread)
        shares = np.asarray(counts / np.abs(counts).sum(), np.float32)
        return cls(directions, shares, kind="picture", matcher=matcher)

    @property
    def reranker(self) -> Reranker | None:
        """What scores the first few again.

        None if the query has no text, or words whose pictures are known by their vectors, or
        the matcher re-ranks nothing.
        """
        if self.matcher is None or not self.texts or self.named:
            return None
        return self.matcher.reranker

    @cached_property
    def packed(self) -> tuple[list[FloatArray], FloatArray]:
        """The passages that weigh most, packed for the re-ranker, and their weights, sum 1."""
        assert self.reranker is not None  # or nobody asks
        heaviest = np.argsort(-self.weights, kind="stable")[:RERANKED_PASSAGES]
        texts = self.reranker.pack_texts([self.texts[row] for row in heaviest])
        weights = self.weights[heaviest]
        return texts, weights / weights.sum()

    def rerank_scores(self, pictures: NDArray[np.float16]) -> FloatArray:
        """Return the re-ranker's score of packed pictures, float32 (n,).

        It is the mean over the passages, by weight.
        """
        assert self.reranker is not None  # or nobody asks
        texts, weights = self.packed
        scores = [self.reranker.scores(pictures, text) for text in texts]
        return np.asarray(weights @ np.stack(scores), np.float32)

    def combine(self, first: FloatArray, second: FloatArray) -> FloatArray:
        """Return the scores of both stages, (n,), from those of vectors and of the re-ranker."""
        assert self.matcher is not None  # or there is no second
        return self.matcher.combine(first, second)

    def scores(self, vectors: FloatArray, packed: NDArray[np.float16] | None) -> FloatArray:
        """Return the score of pictures, by both stages where there are two, float32 (n,).

        Of words that the matcher does not know it is 0 in the first.

        Parameters
        ----------
        vectors : float32 (n, d)
        packed : float16 (n, …) or None
            Needed only where there is a ``reranker``.
        """
        first = np.asarray(vectors @ self.known(), np.float32)
        if self.reranker is None or packed is None or not len(vectors):
            return first
        return self.combine(first, self.rerank_scores(packed))

    def probability(
        self,
        scores: FloatArray,
        gallery_size: int,
        *,
        shows: bool = False,
        crowd: Crowd | None = None,
    ) -> FloatArray | None:
        """Return P(match | score, gallery size) for each score; None if nothing knows it.

        ``shows``: that a picture shows what the text names, as for keywords. ``crowd`` is what
        the results of a search stand among.
        """
        if self.judge is None or self.kind == "picture":
            return None
        keywords = self.pooled() if shows or self.kind == "keywords" else None
        size = max(1, gallery_size)
        return self.judge.probability(scores, size, keywords=keywords, crowd=crowd)

    def words(self) -> float:
        """Return how many words a text has, in the mean by weight."""
        return float(self.weights @ word_counts(self.texts) / self.weights.sum())

    def pooled(self) -> FloatArray:
        """Return the weighted sum as one vector, as long as its parts on average, float32 (d,).

        Raises
        ------
        DataError
            If the vectors cancel out, or all are zero.
        """
        known = self.known()
        if not known.any():
            if not self.vectors.any():  # a topic model's answer to words it never saw
                raise DataError("The matcher knows no word of the query: use other words.")
            raise DataError("The parts of the query cancel out: change or reweight them.")
        return known

    def known(self) -> FloatArray:
        """Return what ``pooled`` does, or zero, float32 (d,), where that raises an error."""
        return pooled(self.vectors, self.weights)


def _weights(weights: Sequence[float]) -> FloatArray:
    return np.asarray(weights, np.float32)


def _embedded(texts: Sequence[str], encoder: TextEncoder, matcher: Matcher) -> FloatArray:
    if len(texts) <= AT_ONCE:
        return matcher.embed_texts(encoder.encode(texts))
    parts = []
    with bar("passages", len(texts)) as advance:
        for start in range(0, len(texts), AT_ONCE):
            batch = texts[start : start + AT_ONCE]
            parts.append(matcher.embed_texts(encoder.encode(batch)))
            advance(len(batch))
    return np.concatenate(parts)
