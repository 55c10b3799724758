"""The routes of what people tell the service: marks, collections, learning and its result."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import StreamingResponse

from visita.serve import exporting, kept_models
from visita.serve.desk import Desk
from visita.serve.learning import Learning
from visita.serve.pictures import headers
from visita.serve.quality import Quality, quality

CollectionPath = Annotated[str, Path(max_length=64, description="The collection's id.")]
JobPath = Annotated[str, Path(max_length=64, description="The run's id.")]
Kind = Literal["csv", "zip", "links"]
TABLE = "text/csv; charset=utf-8"
ARCHIVE = "application/zip"
FILES = {
    200: {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in (TABLE, ARCHIVE)
        }
    }
}


def add_feedback(router: APIRouter, desk: Desk) -> None:
    """Add what is right and wrong."""

    @router.get("/feedback", tags=["feedback"])
    def marks() -> kept_models.Marks:
        """Return all marks."""
        return kept_models.Marks(marks=desk.kept.marks())

    @router.post("/feedback", tags=["feedback"])
    def mark(mark: kept_models.Mark) -> kept_models.Mark:
        """Mark a picture as right or wrong for a text; once answered, it is on disk."""
        desk.library.of(mark.gallery).shelf.row(mark.id)
        desk.kept.mark(mark)
        return mark


def add_collections(router: APIRouter, desk: Desk) -> None:
    """Add collections of pictures."""
    kept = desk.kept

    @router.get("/collections", tags=["collections"])
    def collections() -> kept_models.Collections:
        """Return all collections."""
        return kept_models.Collections(collections=kept.collections())

    @router.post("/collections", tags=["collections"], status_code=201)
    def make(named: kept_models.CollectionName) -> kept_models.Collection:
        """Make an empty collection."""
        return kept.make_collection(named.name)

    @router.get("/collections/{collection}", tags=["collections"])
    def members(collection: CollectionPath) -> kept_models.Members:
        """Return the pictures of a collection."""
        pictures, missing = exporting.found(desk.library, kept.members(collection))
        told = kept.collection(collection)
        return kept_models.Members(
            collection=told, pictures=tuple(pictures), missing=tuple(missing)
        )

    @router.patch("/collections/{collection}", tags=["collections"])
    def rename(
        collection: CollectionPath, named: kept_models.CollectionName
    ) -> kept_models.Collection:
        """Give a collection another name."""
        kept.rename_collection(collection, named.name)
        return kept.collection(collection)

    @router.delete("/collections/{collection}", tags=["collections"], status_code=204)
    def remove(collection: CollectionPath) -> None:
        """Forget a collection; its pictures stay."""
        kept.remove_collection(collection)

    @router.post("/collections/{collection}/pictures", tags=["collections"])
    def change(
        collection: CollectionPath, change: kept_models.CollectionChange
    ) -> kept_models.Collection:
        """Put pictures into a collection, or take them out."""
        for picture in change.add:
            desk.library.of(picture.gallery).shelf.row(picture.id)
        kept.change_collection(collection, change.add, change.remove)
        return kept.collection(collection)

    @router.get(
        "/collections/{collection}/export",
        tags=["collections"],
        response_class=Response,
        responses=FILES,  # type: ignore[arg-type]
    )
    def export(
        collection: CollectionPath,
        kind: Annotated[Kind, Query(alias="as")] = "csv",
    ) -> Response:
        """Return a table of a collection's pictures, or an archive of the files or of links."""
        name = kept.collection(collection).name
        pictures, _ = exporting.found(desk.library, kept.members(collection))
        if kind == "csv":
            content = exporting.as_csv(pictures)
            return Response(content, media_type=TABLE, headers=headers(f"{name}.csv"))
        if kind == "links":
            content = exporting.as_links(pictures)
            return Response(content, media_type=ARCHIVE, headers=headers(f"{name}-links.zip"))
        archive = exporting.as_zip(desk.library, pictures)
        return StreamingResponse(archive, media_type=ARCHIVE, headers=headers(f"{name}.zip"))


def add_learning(router: APIRouter, desk: Desk, learning: Learning) -> None:
    """Add learning, and the choice of what is searched with."""

    @router.get("/jobs", tags=["learning"])
    def jobs() -> kept_models.Jobs:
        """Return all runs of learning, the newest first."""
        in_use = desk.library.matcher
        return kept_models.Jobs(jobs=tuple(run.told(in_use) for run in learning.runs()))

    @router.post("/jobs", tags=["learning"], status_code=202)
    def learn(asked: kept_models.LearnRequest) -> kept_models.Job:
        """Learn from all marks, and from pairs that are sent, in the background."""
        return learning.begin(asked).told(desk.library.matcher)

    @router.get("/jobs/{job}", tags=["learning"])
    def job(job: JobPath) -> kept_models.Job:
        """Return how far a run is, or what came of it."""
        return learning.run(job).told(desk.library.matcher)

    @router.delete("/jobs/{job}", tags=["learning"])
    def stop(job: JobPath) -> kept_models.Job:
        """End a run that is under way."""
        run = learning.run(job)
        learning.stop(run)
        return run.told(desk.library.matcher)

    @router.get("/model", tags=["learning"])
    def model() -> kept_models.ModelInUse:
        """Return what is searched with."""
        return _in_use(desk)

    @router.get("/quality", tags=["learning"])
    def known_quality() -> Quality:
        """Return the kernels of what is searched with, and its reliability on all marks."""
        return quality(desk.library, desk.kept.marks())

    @router.post("/model", tags=["learning"], status_code=202)
    def choose(choice: kept_models.ModelChoice) -> kept_models.ModelInUse:
        """Search with what a run learnt, or go back; the former answers until all is ready."""
        learning.use(choice.job)
        return _in_use(desk)


def _in_use(desk: Desk) -> kept_models.ModelInUse:
    library = desk.library
    return kept_models.ModelInUse(
        name=library.finder.matcher.name,
        base=desk.config.matcher,
        learnt=library.matcher != desk.config.matcher,
        switching=desk.switching,
        facts=dict(library.finder.matcher.facts),
    )
