"""One picture and one text, and pictures for an article: how well they fit, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from visita.data.prose import read_article
from visita.search.explain import explain
from visita.search.language import remarks
from visita.search.recommend import Recommendation, recommend
from visita.search.search import SURE
from visita.serve import models
from visita.serve.library import Library
from visita.serve.searching import filter_of, holding, passing, told
from visita.serve.uploads import opened

if TYPE_CHECKING:
    from visita.search.past import Past


def match(library: Library, asked: models.MatchRequest, most_pixels: int) -> models.MatchAnswer:
    """Return how well a picture and a text fit; see ``Finder.match``."""
    pair = library.finder.match(opened(asked.picture, library, most_pixels), asked.text)
    return models.MatchAnswer(**pair.to_dict())


def explanation(
    library: Library, asked: models.MatchRequest, most_pixels: int
) -> models.ExplainAnswer:
    """Return why a picture and a text have their score; see ``visita.explain``."""
    picture = opened(asked.picture, library, most_pixels)
    return models.ExplainAnswer(**explain(library.finder, picture, asked.text).to_dict())


def recommendation(
    library: Library, asked: models.RecommendRequest, past: Past | None
) -> models.RecommendAnswer:
    """Return pictures for an article, and why; see ``visita.recommend``."""
    where = filter_of(asked.among)
    shelves = holding(library.shelves(asked.galleries), asked.among.under)
    searched = [passing(shelf, where) for shelf in shelves]
    text = read_article(asked.article.encode())
    found = recommend(
        [shelf.gallery for shelf in shelves],
        text,
        asked.k,
        past=past,
        threshold=asked.threshold,
        where=where,
    )
    return models.RecommendAnswer(
        gallery_size=sum(map(len, searched)),
        sure=SURE,
        remarks=tuple(remarks(text, library.finder.matcher)),
        matches=tuple(
            models.Recommended(**fields, **_reason(each))
            for fields, each in zip(told(found, shelves), found, strict=True)
        ),
    )


def _reason(found: Recommendation) -> dict[str, Any]:
    past = found.precedent
    return {
        "passage": found.passage,
        "passage_score": found.passage_score,
        "precedent": past
        and models.PastArticle(
            image_id=past.image_id,
            text=past.text,
            picture=str(past.picture),
            likeness=past.likeness,
        ),
    }
