"""The routes of the API, each one call of the library; shapes are in ``models``."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from visita.serve import browsing, captioning, models, pictures, reasons, searching
from visita.serve.desk import Desk
from visita.serve.keeping import add_collections, add_feedback, add_learning
from visita.serve.learning import Learning
from visita.serve.library import Library
from visita.serve.metrics import MEDIA, Metrics
from visita.serve.problems import DOCUMENTED

GalleryPath = Annotated[str, Path(max_length=100, description="The gallery's id.")]
PicturePath = Annotated[str, Path(pattern="^[0-9a-f]{64}$", description="The picture's id.")]
KEPT = {"Cache-Control": "private, max-age=31536000, immutable"}
"""A picture's id is of its content, so what was answered once stays right."""
JPEG = {200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}}
FILE = {200: {"content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}}


def api(desk: Desk, learning: Learning, metrics: Metrics) -> APIRouter:
    """Return all routes under ``/api/v1``."""
    router = APIRouter(prefix="/api/v1", responses=DOCUMENTED)
    _add_state(router, desk, metrics)
    _add_searching(router, desk)
    _add_pictures(router, desk)
    _add_reasons(router, desk)
    add_feedback(router, desk)
    add_collections(router, desk)
    add_learning(router, desk, learning)
    return router


def _add_state(router: APIRouter, desk: Desk, metrics: Metrics) -> None:
    @router.get("/health", tags=["state"])
    def health() -> models.Health:
        """Tell that the service runs."""
        return models.Health(version=version("visita"), matcher=desk.library.finder.matcher.name)

    @router.get("/ready", tags=["state"], responses={503: {"model": models.Ready}})
    def ready() -> JSONResponse:
        """Tell whether every gallery can be searched: 200, or 503 until then."""
        told = models.Ready(ready=desk.library.ready, galleries=_told(desk.library))
        return JSONResponse(told.model_dump(mode="json"), 200 if told.ready else 503)

    @router.get("/metrics", tags=["state"], response_class=PlainTextResponse)
    def measured() -> Response:
        """Return counts and times in the format of Prometheus."""
        return Response(metrics.text(), media_type=MEDIA)

    @router.get("/galleries", tags=["galleries"])
    def galleries() -> models.Galleries:
        """Return the galleries, and how far each is read."""
        return models.Galleries(galleries=_told(desk.library))

    @router.get("/galleries/{gallery}", tags=["galleries"])
    def gallery(gallery: GalleryPath) -> models.Gallery:
        """Return one gallery."""
        return desk.library.of(gallery).told()

    @router.post("/galleries/{gallery}/sync", tags=["galleries"], status_code=202)
    def sync(gallery: GalleryPath) -> models.Gallery:
        """Let new and changed pictures be read in the background."""
        return desk.library.want(gallery).told()

    @router.get("/galleries/{gallery}/facets", tags=["galleries"])
    def facets(gallery: GalleryPath) -> models.Facets:
        """Return what a gallery can be filtered by: its commonest folders, cameras, tags, years."""
        return desk.library.of(gallery).shelf.facets()


def _told(library: Library) -> tuple[models.Gallery, ...]:
    return tuple(served.told() for served in library.served.values())


def _add_searching(router: APIRouter, desk: Desk) -> None:
    @router.get("/search", tags=["search"], response_model=models.SearchAnswer)
    def search(asked: Annotated[searching.AskedByQuery, Query()]) -> Response:
        """Return the pictures for a text, best first."""
        return _as_json(searching.answer(desk.library, asked.request(), desk.config.pixels))

    @router.post("/search", tags=["search"], response_model=models.SearchAnswer)
    def search_by(asked: models.SearchRequest) -> Response:
        """Return the pictures for a text, for pictures like some, or for both together."""
        return _as_json(searching.answer(desk.library, asked, desk.config.pixels))


def _as_json(answer: models.SearchAnswer) -> Response:
    """Return an answer that is not checked and converted once more, as hundreds of results cost."""
    return Response(answer.model_dump_json(), media_type="application/json")


def _add_pictures(router: APIRouter, desk: Desk) -> None:
    @router.get("/pictures", tags=["pictures"])
    def browse(asked: Annotated[browsing.Asked, Query()]) -> models.Pictures:
        """Return pictures without a query, by path or the newest first."""
        return browsing.pictures(desk.library, asked)

    @router.get("/pictures/{gallery}/{picture}", tags=["pictures"])
    def picture(gallery: GalleryPath, picture: PicturePath) -> models.Picture:
        """Return what is known of a picture."""
        return pictures.describe(desk.library.of(gallery).shelf, picture)

    @router.get("/pictures/{gallery}/{picture}/alike", tags=["pictures"])
    def alike(gallery: GalleryPath, picture: PicturePath) -> models.Alike:
        """Return the pictures of its gallery that are nearly the same as one."""
        return browsing.alike(desk.library.of(gallery).shelf, picture)

    @router.get("/duplicates", tags=["pictures"])
    def duplicates(asked: Annotated[browsing.AskedDuplicates, Query()]) -> models.Duplicates:
        """Return the groups of pictures of a gallery that are nearly the same."""
        return browsing.duplicates(desk.library, asked)

    @router.get(
        "/thumbnails/{gallery}/{picture}",
        tags=["pictures"],
        response_class=Response,
        responses=JPEG,  # type: ignore[arg-type]
    )
    def thumbnail(
        gallery: GalleryPath, picture: PicturePath, side: pictures.Side = "320"
    ) -> Response:
        """Return a small JPEG, upright, whose longer side has at most ``side`` pixels."""
        content = pictures.thumbnail(desk.library.of(gallery).shelf, picture, side)
        return Response(content, media_type="image/jpeg", headers=KEPT)

    @router.get(
        "/originals/{gallery}/{picture}",
        tags=["pictures"],
        response_class=Response,
        responses=FILE,  # type: ignore[arg-type]
    )
    def original(gallery: GalleryPath, picture: PicturePath) -> StreamingResponse:
        """Return the file itself, to be downloaded."""
        shelf = desk.library.of(gallery).shelf
        file, size = pictures.checked(shelf, picture)
        path = shelf.path(picture)
        kind = pictures.TYPES.get(path.suffix.lower(), pictures.OTHER)
        headers = {**pictures.headers(path.name), "Content-Length": str(size)}
        return StreamingResponse(pictures.pieces(file), media_type=kind, headers=headers)


def _add_reasons(router: APIRouter, desk: Desk) -> None:
    @router.post("/match", tags=["reasons"])
    def match(asked: models.MatchRequest) -> models.MatchAnswer:
        """Return how well a picture and a text fit."""
        return reasons.match(desk.library, asked, desk.config.pixels)

    @router.post("/explain", tags=["reasons"])
    def explain(asked: models.MatchRequest) -> models.ExplainAnswer:
        """Return where in a picture, by which words and kernels a score comes about."""
        return reasons.explanation(desk.library, asked, desk.config.pixels)

    @router.post("/texts", tags=["reasons"])
    def texts(asked: captioning.TextsRequest) -> captioning.TextsAnswer:
        """Return which of some texts fit a picture, best first."""
        return captioning.texts(desk.library, asked, desk.config.pixels)

    @router.post("/recommend", tags=["reasons"])
    def recommend(asked: models.RecommendRequest) -> models.RecommendAnswer:
        """Return pictures for an article, each with the passage that it fits."""
        return reasons.recommendation(desk.library, asked, desk.past)
