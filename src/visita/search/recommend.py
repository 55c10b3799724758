"""Recommending pictures for an article: by what it says, and by what was chosen before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from visita.arguments import expect
from visita.data.prose import read_article
from visita.matchers import DEFAULT
from visita.search.finder import Finder
from visita.search.galleries import Gallery, shared_finder
from visita.search.matches import Match, Matches
from visita.search.passages import passages
from visita.search.query import Query, kind_of
from visita.search.search import search
from visita.types import FloatArray, Matcher

if TYPE_CHECKING:
    from visita.data import Data
    from visita.gallery.filter import Filter
    from visita.search.past import Past, Precedent


@dataclass(frozen=True, slots=True)
class Recommendation(Match):
    """A picture for an article, and why.

    Attributes
    ----------
    passage : str
        What in the article fits the picture best.
    passage_score : float
        Inner product of their vectors.
    precedent : Precedent or None
        The past article that spoke most for the picture, where the past was asked.

    Examples
    --------
    >>> best, *_ = visita.recommend("mypairs", "It rained. A white square was drawn.", k=1)
    >>> best.path.suffix in (".jpg", ".png"), best.precedent
    (True, None)
    """

    passage: str
    passage_score: float
    precedent: Precedent | None

    def reasons(self) -> tuple[str, ...]:
        """Return the passage, and the past article if there is one."""
        past = (f"as for “{self.precedent.text}”",) if self.precedent else ()
        return (f"“{self.passage}”", *past)


def recommend(
    galleries: Sequence[Gallery] | str | Path,
    article: str | bytes | Path,
    k: int = 10,
    *,
    past: Past | Data | None = None,
    threshold: float | None = None,
    where: Filter | None = None,
    matcher: Finder | Matcher | str | Path = DEFAULT,
) -> Matches[Recommendation]:
    """Return the k best pictures for an article of any length, each with a reason.

    A matcher of two stages re-ranks the best 50, as in ``find``; not with a ``past``, which is
    added to the first stage's vector and has no words to compare with a picture.

    Parameters
    ----------
    galleries
        Synchronized galleries that share one matcher, or a folder of pictures, which is
        then synchronized with ``matcher``.
    article
        Title and body alike: the text itself, or the bytes or the file of text or HTML.
    past
        Articles with their pictures, as pairs or as ``Past.learn`` made of them.
    threshold
        Leave out what is less probable.
    where
        Recommend only what passes, as if there were no other pictures.

    Raises
    ------
    DataError
        If there is no text, or its encoding is unknown; if a gallery was never synchronized.

    Examples
    --------
    >>> article = "A circle was drawn. It was red. Nobody saw who did it."
    >>> best, *_ = visita.recommend([visita.Gallery.open("mypairs")], article, k=3)
    >>> best.passage in article
    True
    """
    expect(article, (str, bytes, os.PathLike), "An article is a text, its bytes or a file's path")
    text = article if isinstance(article, str) else read_article(article)
    galleries = _opened(galleries, matcher)
    shared = shared_finder(galleries)
    finder = shared.reading(text)
    parts = passages(text)
    kind = kind_of(text) if past is None else "text"
    query = asked = Query.from_texts(parts, finder.texts, finder.matcher, kind=kind)
    advice = None
    if past is not None:
        from visita.search.past import Past  # noqa: PLC0415 - brings scikit-learn

        learnt = past if isinstance(past, Past) else Past.learn(shared, past)
        advice = learnt.advise(text)
        asked = Query(
            advice.combine(query.pooled())[None], np.ones(1, np.float32), judge=learnt.judge
        )
    matches = search(asked, galleries, k, threshold=threshold, where=where)
    shown = _vectors(matches, galleries)
    fits = shown @ query.vectors.T
    best = fits.argmax(axis=1)
    return Matches(
        Recommendation(
            match.path,
            match.score,
            match.probability,
            passage=parts[best[row]],
            passage_score=float(fits[row, best[row]]),
            precedent=advice.precedent(shown[row]) if advice else None,
        )
        for row, match in enumerate(matches)
    )


def _opened(
    galleries: Sequence[Gallery] | str | Path, matcher: Finder | Matcher | str | Path
) -> Sequence[Gallery]:
    if not isinstance(galleries, str | Path):
        return galleries
    gallery = Gallery.open(galleries, matcher=matcher)
    gallery.refresh()
    return [gallery]


def _vectors(matches: Sequence[Match], galleries: Sequence[Gallery]) -> FloatArray:
    """Return the vectors of the pictures that were found, float32 (k, d)."""
    vectors = {str(match.path): np.empty(0, np.float32) for match in matches}
    for gallery in galleries:
        for row, path in enumerate(gallery.snapshot.paths):
            if path in vectors:
                vectors[path] = gallery.snapshot.taken[row]
    width = galleries[0].finder.matcher.dim
    return np.array([vectors[str(match.path)] for match in matches], np.float32).reshape(-1, width)
