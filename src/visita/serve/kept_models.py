"""The shape of what people leave with the service: marks, collections, and what it learns of them.

As in ``models``, whose shapes these use.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from visita.serve.models import LONGEST_TEXT, MatchRequest, Named, Picture, Shape


class Mark(Named):
    """Whether a picture fits a text: right, wrong, or None to take back what was said."""

    text: Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT, examples=["a dog"])]
    fits: bool | None


class Marks(Shape):
    """All marks, in the order in which they were made."""

    marks: tuple[Mark, ...]


Name = Annotated[str, Field(min_length=1, max_length=200, examples=["Front page"])]


class CollectionName(Shape):
    """What a collection is called; several may have one name."""

    name: Name


class Collection(CollectionName):
    """Pictures that were put together, ``size`` of them."""

    id: str
    size: int


class Collections(Shape):
    """All collections, by name."""

    collections: tuple[Collection, ...]


class CollectionChange(Shape):
    """Pictures to put into a collection, and to take out of it."""

    add: Annotated[tuple[Named, ...], Field(max_length=10_000)] = ()
    remove: Annotated[tuple[Named, ...], Field(max_length=10_000)] = ()


class Members(Shape):
    """A collection's pictures, in the order in which they were put there.

    ``missing`` are those that no gallery has now; they are kept, and may come back.
    """

    collection: Collection
    pictures: tuple[Picture, ...]
    missing: tuple[Named, ...]


class LearnRequest(Shape):
    """What to learn from: all marks, and ``pairs`` of pictures with texts that fit them."""

    pairs: Annotated[tuple[MatchRequest, ...], Field(max_length=10_000)] = ()


class Interval(Shape):
    """A number with its 95 % interval."""

    value: float
    low: float
    high: float


class Change(Shape):
    """One metric before and after, in percent, and the paired difference."""

    metric: str
    before: Interval
    after: Interval
    difference: Interval


class Job(Shape):
    """A run of learning, in the background.

    ``state`` is ``running``, ``done``, ``failed`` (with ``detail``) or ``stopped``; ``detail`` is
    what it is doing. ``pairs`` is what it learns from; once it is done, ``wrong`` is how many that
    were marked wrong it learnt from too. ``changes`` are on ``held_back`` pictures that took no
    part, and ``right above wrong`` is how many of a hundred pairs of these score more than one that
    was marked wrong. ``in_use``: whether is searched with what it learnt.
    """

    id: str
    state: Literal["running", "done", "failed", "stopped"]
    started: str
    detail: str
    pairs: int
    wrong: int
    held_back: int
    changes: tuple[Change, ...]
    in_use: bool


class Jobs(Shape):
    """All runs of learning, the newest first."""

    jobs: tuple[Job, ...]


class ModelInUse(Shape):
    """What is searched with, and what it was before anything was learnt.

    ``switching``: pictures are embedded anew with another; until then the former answers.
    ``facts`` are what the model's manifest says: configuration, seeds, data, numbers.
    """

    name: str
    base: str
    learnt: bool
    switching: bool
    facts: dict[str, Any]


class ModelChoice(Shape):
    """A run of learning whose result is to be searched with; None goes back to the base."""

    job: Annotated[str | None, Field(max_length=64)] = None
