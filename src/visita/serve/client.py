"""A service as the library: the same calls and the same results, over HTTP."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import Request, build_opener

import numpy as np
from PIL.Image import Image
from PIL.Image import open as open_picture
from pydantic import BaseModel

from visita.errors import ConfigError, DataError, VisitaError
from visita.search.explain import SHOWN, Explanation, Kernel, Word
from visita.search.matches import Match, Matches
from visita.search.pair import Pair
from visita.search.recommend import Recommendation
from visita.serve import models

if TYPE_CHECKING:
    from visita.search.past import Precedent

Shape = TypeVar("Shape", bound=BaseModel)
Picture = Image | str | Path | models.Named
"""A picture of one's own, or one that the service named."""


class Client:
    """Asks a service that runs elsewhere; see ``visita serve``.

    Paths in results are those of the machine of the service. ``ask`` gives the whole answer, by
    gallery and id.

    Parameters
    ----------
    address : str
        As ``visita serve`` prints it.
    token : str or None
        What the service asks for.
    seconds : float
        How long to wait for an answer.

    Raises
    ------
    ConfigError
        If the address is none.

    Examples
    --------
    >>> visita.Client("http://127.0.0.1:8420")
    <Client of http://127.0.0.1:8420>
    """

    def __init__(self, address: str, *, token: str | None = None, seconds: float = 60) -> None:
        if urlsplit(address).scheme not in ("http", "https"):
            raise ConfigError(f"{address!r} is no address such as http://127.0.0.1:8420.")
        self.address = address.rstrip("/")
        self._seconds = seconds
        self._headers = {"X-Visita": "1", "Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def __repr__(self) -> str:
        """Return whom it asks."""
        return f"<Client of {self.address}>"

    def search(self, text: str, k: int = 10, **options: Any) -> Matches[Match]:
        """Return the k best pictures for a text; options as for ``models.SearchRequest``.

        Raises
        ------
        VisitaError
            If the service cannot be asked, or refuses; the message is the service's.
        """
        return _matches(self.found(models.SearchRequest(text=text, k=k, **options)))

    def search_like(self, picture: Picture, k: int = 10, **options: Any) -> Matches[Match]:
        """Return the k pictures most similar to a picture; raises as ``search``."""
        return _matches(self.found(models.SearchRequest(like=(_given(picture),), k=k, **options)))

    def found(self, asked: models.SearchRequest) -> models.SearchAnswer:
        """Return the whole answer to a search, by gallery and id; raises as ``search``."""
        return self.ask("search", models.SearchAnswer, asked)

    def match(self, picture: Picture, text: str) -> Pair:
        """Return how well a picture and a text fit, as ``Finder.match``; raises as ``search``."""
        asked = models.MatchRequest(picture=_given(picture), text=text)
        told = self.ask("match", models.MatchAnswer, asked)
        return Pair(told.score, told.probability, told.threshold)

    def explain(self, picture: Picture, text: str) -> Explanation:
        """Return why they have their score, as ``visita.explain``; raises as ``search``."""
        asked = models.MatchRequest(picture=_given(picture), text=text)
        told = self.ask("explain", models.ExplainAnswer, asked)
        return Explanation(
            text=told.text,
            pair=Pair(told.score, told.probability, told.threshold),
            heat=_heat(told.heat),
            words=tuple(Word(word.word, word.effect, _heat(word.heat)) for word in told.words),
            words_by=told.words_by,
            kernels=tuple(Kernel(each.name, each.weight, each.adds) for each in told.kernels),
            picture=self._shown(picture),
        )

    def recommend(self, article: str, k: int = 10, **options: Any) -> Matches[Recommendation]:
        """Return the k best pictures for an article, as ``visita.recommend``; raises as ``search``.

        Options are as for ``models.RecommendRequest``.
        """
        asked = models.RecommendRequest(article=article, k=k, **options)
        told = self.ask("recommend", models.RecommendAnswer, asked)
        return Matches(_recommendation(each) for each in told.matches)

    def galleries(self) -> tuple[models.Gallery, ...]:
        """Return what is served, and how far each is read; raises as ``search``."""
        return self.ask("galleries", models.Galleries).galleries

    def thumbnail(self, picture: models.Named, side: int = 320) -> bytes:
        """Return a small JPEG of 160, 320, 640 or 1280 pixels; raises as ``search``."""
        return self._bytes(f"thumbnails/{_place(picture)}?side={side}")

    def original(self, picture: models.Named) -> bytes:
        """Return the file of a picture; raises as ``search``."""
        return self._bytes(f"originals/{_place(picture)}")

    def ask(
        self,
        path: str,
        answer: type[Shape],
        asked: BaseModel | None = None,
        *,
        method: str | None = None,
    ) -> Shape:
        """Return any answer of the API, by its path below ``/api/v1``; raises as ``search``."""
        content = None if asked is None else asked.model_dump_json(exclude_defaults=True).encode()
        return answer.model_validate_json(self._bytes(path, content, method))

    def _bytes(self, path: str, content: bytes | None = None, method: str | None = None) -> bytes:
        address = f"{self.address}/api/v1/{path}"
        request = Request(address, content, self._headers, method=method)
        try:
            with build_opener().open(request, timeout=self._seconds) as answer:
                body: bytes = answer.read()
                return body
        except HTTPError as error:
            raise VisitaError(_refusal(error)) from error
        except (URLError, OSError) as error:
            raise VisitaError(
                f"{self.address} does not answer ({getattr(error, 'reason', error)}): is visita "
                "serve running there?"
            ) from error

    def _shown(self, picture: Picture) -> Image:
        if isinstance(picture, models.Named):
            return open_picture(BytesIO(self.thumbnail(picture, 640))).convert("RGB")
        small = picture if isinstance(picture, Image) else open_picture(picture)
        small = small.convert("RGB")
        small.thumbnail(SHOWN)
        return small


def _refusal(error: HTTPError) -> str:
    try:
        told: Mapping[str, Any] = json.loads(error.read())
        faults = "; ".join(f"{each['where']}: {each['what']}" for each in told.get("faults", []))
        return f"{told['detail']} {faults}".strip()
    except (ValueError, KeyError, TypeError):
        return f"The service answered {error.code} {error.reason}."


def _given(picture: Picture) -> models.Given:
    if isinstance(picture, models.Named):
        return models.Given(gallery=picture.gallery, id=picture.id)
    if isinstance(picture, Image):
        file = BytesIO()
        picture.convert("RGB").save(file, "PNG")
        content = file.getvalue()
    else:
        try:
            content = Path(picture).read_bytes()
        except OSError as error:
            raise DataError(f"{picture} cannot be read: {error.strerror}.") from error
    return models.Given(data=base64.b64encode(content))


def _matches(found: models.SearchAnswer) -> Matches[Match]:
    return Matches(Match(**_fields(each)) for each in found.matches)


def _fields(found: models.Found) -> dict[str, Any]:
    fields = ("score", "probability", "date", "said")
    alike = tuple(Path(other.path) for other in found.alike)
    values = {name: getattr(found, name) for name in fields}
    return {"path": Path(found.path), "alike": alike, **values}


def _recommendation(found: models.Recommended) -> Recommendation:
    return Recommendation(
        **_fields(found),
        passage=found.passage,
        passage_score=found.passage_score,
        precedent=_precedent(found.precedent) if found.precedent else None,
    )


def _precedent(past: models.PastArticle) -> Precedent:
    from visita.search.past import Precedent  # noqa: PLC0415  brings scikit-learn

    return Precedent(past.image_id, Path(past.picture), past.text, past.likeness)


def _heat(rows: Sequence[Sequence[float]]) -> Any:
    return np.array(rows, np.float32)


def _place(picture: models.Named) -> str:
    return f"{quote(picture.gallery, safe='')}/{picture.id}"
