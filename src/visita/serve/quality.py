"""How good what is searched with is, as far as the service knows: its kernels, and its word kept.

What it said of pictures is held against what people marked as right and wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from visita.matchers.shares import split
from visita.search.finder import Finder
from visita.serve.fits import Fit, fits
from visita.serve.kept_models import Mark
from visita.serve.library import Library
from visita.serve.models import Shape
from visita.serve.problems import NotFoundError, NotReadyError
from visita.types import FloatArray

BINS = 5


class KernelWeight(Shape):
    """A kernel of the first stage; the weights sum to 1."""

    name: str
    weight: float


class Bin(Shape):
    """Marked pictures of which a probability from ``low`` to ``high`` was said.

    ``expected`` is the mean of what was said, ``observed`` the share that people marked as right.
    """

    low: float
    high: float
    expected: float
    observed: float
    n: int


class Quality(Shape):
    """The kernels of what is searched with, and how reliable its probabilities were on marks.

    ``marks`` is on how many; people mark what they see, so these are no random pictures.
    """

    kernels: tuple[KernelWeight, ...]
    bins: tuple[Bin, ...]
    marks: int


def quality(library: Library, marks: Sequence[Mark]) -> Quality:
    """Return what is known of what is searched with."""
    weights = split(library.finder.matcher.retriever).kernels
    said, right = _judged(library, marks)
    return Quality(
        kernels=tuple(KernelWeight(name=name, weight=value) for name, value in weights.items()),
        bins=tuple(_bins(said, right)),
        marks=len(said),
    )


def _judged(library: Library, marks: Sequence[Mark]) -> tuple[FloatArray, FloatArray]:
    """Return what is said of marked pictures, and whether it is right, float32 (n,) each."""
    by_text: dict[str, list[tuple[FloatArray, bool]]] = {}
    for mark in marks:
        vector = _vector(library, mark)
        if vector is not None and mark.fits is not None:
            by_text.setdefault(mark.text, []).append((vector, mark.fits))
    said, right = [], []
    for text, pairs in by_text.items():
        probabilities = _said(library.finder, text, [vector for vector, _ in pairs])
        for probability, (_, fitting) in zip(probabilities, pairs, strict=True):
            if probability is not None:
                said.append(probability)
                right.append(fitting)
    return np.array(said, np.float32), np.array(right, np.float32)


def _said(finder: Finder, text: str, vectors: Sequence[FloatArray]) -> list[Fit]:
    query = finder.reading(text).query(text)
    if query.kind != "keywords" or query.unwanted:
        return fits(finder, text, vectors)
    shown = query.probability(query.scores(np.stack(vectors), None), 1)
    return [None] * len(vectors) if shown is None else list(map(float, shown))


def _vector(library: Library, mark: Mark) -> FloatArray | None:
    try:
        shelf = library.of(mark.gallery).shelf
        found: FloatArray = shelf.snapshot.vector(shelf.row(mark.id))
    except (NotFoundError, NotReadyError):
        return None
    return found


def _bins(said: FloatArray, right: FloatArray) -> list[Bin]:
    places = np.minimum((said * BINS).astype(int), BINS - 1)
    return [
        Bin(
            low=place / BINS,
            high=(place + 1) / BINS,
            expected=float(said[places == place].mean()),
            observed=float(right[places == place].mean()),
            n=int((places == place).sum()),
        )
        for place in np.unique(places).tolist()
    ]
