"""The shape of every request and answer, the same for the service, its page and its client.

A picture is named by its gallery's ``id`` and its own, the hex SHA-256 of its file: no path that a
client gives reaches the disk. Two files of one content are one picture. In a request a picture is
either named so or sent along, its file in base64 as ``data``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, model_validator

MOST = 500
"""Results of one answer; the rest comes by the cursor."""
LONGEST_TEXT = 10_000
"""Characters of a query."""
LONGEST_ARTICLE = 500_000

Text = Annotated[str, Field(max_length=LONGEST_TEXT, examples=["two dogs on a beach"])]
Count = Annotated[int, Field(ge=1, le=MOST)]
GalleryId = Annotated[str, Field(max_length=100, examples=["pictures-7eaceb1c"])]
PictureId = Annotated[str, Field(pattern="^[0-9a-f]{64}$", examples=["3b" * 32])]
Cursor = Annotated[str, Field(max_length=200)]
Sort = Literal["relevance", "date"]


class Shape(BaseModel):
    """The base of all: unknown names are refused, numbers are finite."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Named(Shape):
    """A picture of a gallery."""

    gallery: GalleryId
    id: PictureId


class Given(Shape):
    """A picture in a request: ``gallery`` and ``id``, or ``data``, the file in base64."""

    gallery: GalleryId | None = None
    id: PictureId | None = None
    data: Base64Bytes | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if (self.gallery is None) != (self.id is None) or (self.id is None) == (self.data is None):
            raise ValueError("name a picture by gallery and id, or send its file as data")
        return self


class Among(Shape):
    """Which pictures to search among: those of which all that is given holds.

    ``since`` and ``until`` are dates such as ``2024``, ``2024-05`` or ``2024-05-01``; ``camera`` a
    part of its name; ``near`` latitude, longitude and kilometres; ``under`` a folder within the
    gallery, as ``folder`` of a picture; ``tag`` keywords that it has all of; ``rating`` stars at
    least; ``words`` what is written in it, its title, caption, keywords, folder or place.
    """

    since: Annotated[str | None, Field(max_length=30, examples=["2024-05"])] = None
    until: Annotated[str | None, Field(max_length=30)] = None
    camera: Annotated[str | None, Field(max_length=200)] = None
    near: Annotated[str | None, Field(max_length=100, examples=["48.86,2.35,20"])] = None
    under: Annotated[str | None, Field(max_length=4000)] = None
    tag: Annotated[tuple[Annotated[str, Field(max_length=200)], ...], Field(max_length=20)] = ()
    rating: Annotated[int | None, Field(ge=-1, le=5)] = None
    words: Annotated[str | None, Field(max_length=500)] = None


class SearchRequest(Shape):
    """What is searched for: a text, pictures like ``like``, unlike ``unlike``, or all together.

    A text may itself be a sum, such as ``2*golden retriever + beach - sea``. Of sums and pictures
    there are similarities, no probabilities.

    ``galleries`` are ids, all unless given. ``k`` is how many results an answer has; ``cursor`` is
    ``next`` of the answer before, with all else as it was. ``threshold`` leaves out what is less
    probable or, without a text, less similar. ``group`` shows of pictures that are nearly the
    same only the best, with the others in ``alike``.
    """

    text: Text | None = None
    like: Annotated[tuple[Given, ...], Field(max_length=10)] = ()
    unlike: Annotated[tuple[Given, ...], Field(max_length=10)] = ()
    galleries: Annotated[tuple[GalleryId, ...], Field(max_length=100)] = ()
    k: Count = 50
    cursor: Cursor | None = None
    among: Among = Among()
    sort: Sort = "relevance"
    threshold: Annotated[float | None, Field(ge=-1, le=1)] = None
    group: bool = False

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"text": "two dogs on a beach", "k": 50}]}
    )


class Located(Named):
    """A picture with its ``path``, which is absolute, on the machine of the service."""

    path: str


class Found(Located):
    """A picture that was found.

    ``probability`` is None for pictures like a picture and where the matcher was never calibrated:
    then ``score`` is what there is. For a sentence it is that this is the very picture described;
    ``fit``, that the sentence is true of it, as others may be too. ``width`` and ``height`` are
    pixels as it is shown, ``date`` when it was taken: None where not known.
    """

    score: float
    probability: float | None
    fit: float | None = None
    date: str | None
    width: int | None
    height: int | None
    alike: tuple[Located, ...] = ()
    said: tuple[tuple[str, float], ...] = ()
    """What words that are written of it, or in it, add to the score, by column."""


class SearchAnswer(Shape):
    """Pictures, best first.

    ``kind`` is what was searched for: ``text``, ``keywords`` (at most three words) or ``picture``.
    ``gallery_size`` is among how many. From ``sure`` on a probability, or a ``fit`` where there is
    one, is more likely right than wrong: below that line nothing may match. ``remarks`` are
    sentences for the user on how to read the results. ``next`` is the cursor of more, of which
    there may be none; None at the end.
    """

    kind: Literal["text", "keywords", "picture"]
    gallery_size: int
    sure: float
    remarks: tuple[str, ...]
    matches: tuple[Found, ...]
    next: Cursor | None


class Picture(Named):
    """What is known of a picture.

    ``path`` is absolute, ``folder`` within the gallery; ``copies`` are the paths of files with the
    same content. The rest is what is written in the file or beside it, None where nothing is.
    """

    path: str
    name: str
    copies: tuple[str, ...]
    folder: str
    size: int | None = None
    modified: str | None = None
    date: str | None = None
    utc_offset: int | None = None
    camera: str | None = None
    lens: str | None = None
    latitude: float | None = None
    longitude: float | None = None
    width: int | None = None
    height: int | None = None
    title: str | None = None
    caption: str | None = None
    keywords: tuple[str, ...] = ()
    rating: int | None = None
    place: str | None = None
    words: str | None = None
    """Those that were read in the picture."""


class Pictures(Shape):
    """Pictures without a query; ``next`` is the cursor of more, None at the end."""

    total: int
    pictures: tuple[Picture, ...]
    next: Cursor | None


class Value(Shape):
    """A value that pictures have, and how many."""

    value: str
    count: int


class Facets(Shape):
    """What can be filtered by: the commonest values of folders, cameras, tags and years."""

    folders: tuple[Value, ...]
    cameras: tuple[Value, ...]
    tags: tuple[Value, ...]
    years: tuple[Value, ...]
    placed: int
    """How many pictures say where they were taken."""


class Gallery(Shape):
    """A gallery: its folder, and whether its pictures are read.

    ``state`` is ``indexing`` while new pictures are read (``done`` of ``total``; what was read
    before can be searched meanwhile), ``ready``, or ``failed`` with the ``error``. ``skipped`` are
    files that cannot be read, each with the reason.
    """

    id: GalleryId
    name: str
    folder: str
    state: Literal["indexing", "ready", "failed"]
    pictures: int
    done: int
    total: int
    error: str | None
    skipped: tuple[str, ...]


class Galleries(Shape):
    """All galleries that are served."""

    galleries: tuple[Gallery, ...]


class Ready(Shape):
    """Whether every gallery can be searched; ``galleries`` says which are still read."""

    ready: bool
    galleries: tuple[Gallery, ...]


class Health(Shape):
    """That the service runs, and which."""

    status: Literal["ok"] = "ok"
    version: str
    matcher: str


class MatchRequest(Shape):
    """One picture and one text."""

    picture: Given
    text: Text

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"picture": {"gallery": "pictures-7eaceb1c", "id": "3b" * 32}, "text": "a dog"}
            ]
        }
    )


class MatchAnswer(Shape):
    """How well they fit; see ``visita.Finder.match``. ``match`` is the verdict, if there is one."""

    score: float
    probability: float | None
    threshold: float | None
    match: bool | None


Heat = tuple[tuple[float, ...], ...]
"""Rows of cells from the top, over the whole picture."""


class WordPart(Shape):
    """A word: by how much the score falls without it, and what each cell has to do with it."""

    word: str
    effect: float
    heat: Heat


class KernelPart(Shape):
    """A kernel: its weight, all of which sum to 1, and what it adds to the score."""

    name: str
    weight: float
    adds: float


class ExplainAnswer(MatchAnswer):
    """Why a picture and a text have their score; see ``visita.explain``.

    ``heat`` is by how much the score falls when a cell of the picture is hidden: positive cells
    speak for the text. ``words_by`` says what the words' heat is: ``attention`` or ``hiding``.
    """

    text: str
    heat: Heat
    words: tuple[WordPart, ...]
    words_by: Literal["attention", "hiding"]
    kernels: tuple[KernelPart, ...]


class RecommendRequest(Shape):
    """An article of any length, text or HTML; the rest as for a search."""

    article: Annotated[str, Field(max_length=LONGEST_ARTICLE)]
    among: Among = Among()
    galleries: Annotated[tuple[GalleryId, ...], Field(max_length=100)] = ()
    k: Count = 10
    threshold: Annotated[float | None, Field(ge=0, le=1)] = None

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"article": "It rained. Two dogs ran.", "k": 3}]}
    )


class PastArticle(Shape):
    """The past article that spoke most for a picture, and the picture that it had."""

    image_id: str
    text: str
    picture: str
    likeness: float


class Recommended(Found):
    """A picture for an article, the passage that it fits best, and the past article if any."""

    passage: str
    passage_score: float
    precedent: PastArticle | None


class RecommendAnswer(Shape):
    """Pictures for an article, best first; ``sure`` and ``remarks`` as for a search."""

    gallery_size: int
    sure: float
    remarks: tuple[str, ...]
    matches: tuple[Recommended, ...]


class Duplicate(Shape):
    """Pictures that are the same or nearly, the best first; ``exact``: of one content."""

    exact: bool
    pictures: tuple[Picture, ...]


class Alike(Shape):
    """Pictures that are nearly the same as one, the nearest first, without that."""

    pictures: tuple[Picture, ...]


class Duplicates(Shape):
    """Groups of pictures that are nearly the same; ``next`` is the cursor of more."""

    total: int
    groups: tuple[Duplicate, ...]
    next: Cursor | None


class Problem(BaseModel):
    """Why a request was refused (RFC 9457, ``application/problem+json``).

    ``detail`` is a sentence for the user; ``faults`` are where a request is wrong.
    """

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    faults: list[dict[str, Any]] = []
