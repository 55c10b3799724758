"""What a gallery asks of whoever turns picture files into features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from visita.encoders.engine import Runner
from visita.errors import ConfigError
from visita.types import FloatArray, Recipe, Skipped


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Features of a few pictures, and the pictures that could not be decoded.

    Attributes
    ----------
    keys : list of str (b)
        Keys of the pictures that were encoded, in the order of the rows.
    columns : dict of float32 (b, …)
        One array for each column of the recipe; may be empty where b is 0.
    skipped : list of Skipped
        The others; ``item`` is the key.
    """

    keys: list[str]
    columns: dict[str, FloatArray]
    skipped: list[Skipped] = field(default_factory=list)


class PictureEncoder(Protocol):
    """Decodes picture files and computes the columns of one recipe."""

    @property
    def recipe(self) -> Recipe:
        """What is computed."""
        ...

    def facts(self) -> Mapping[str, Any]:
        """Return what else decides the numbers (fingerprints, precision), as JSON values."""
        ...

    def columns(self) -> Mapping[str, int | tuple[int, ...]]:
        """Return the shape a picture of each column, in the recipe's order; loads no network."""
        ...

    def encode(self, items: Iterable[tuple[str, Path]]) -> Iterator[EncodedBatch]:
        """Encode ``(key, file)`` pairs; each key comes back once, encoded or skipped.

        ``items`` is read lazily and only in the thread that iterates over the result, so
        that the caller may look things up while it gives them out.
        """
        ...


@runtime_checkable
class Computed(Protocol):
    """What an ``ImageEncoder`` has in place of ``network`` where it is no network."""

    def runner(self, levels: Sequence[str]) -> Runner:
        """Return what maps uint8 (b, side, side, 3) to one float32 (b, …) a level."""
        ...


@runtime_checkable
class Mirroring(Protocol):
    """What an ``ImageEncoder`` has too where its input may be no picture as it is seen."""

    def mirrored(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Turn what ``prepare`` gave, uint8 (b, side, side, 3), to what mirrored pictures give."""
        ...


@runtime_checkable
class Rounded(Protocol):
    """What a ``TextEncoder`` has too where it may compute in less than float32."""

    def precision(self) -> str:
        """Return in what, here; features of one are never kept among another's."""
        ...


def cell_count(shapes: Mapping[str, int | tuple[int, ...]]) -> int:
    """Return how many cells columns have, from each one's shape a picture; a pooled one has one.

    Raises
    ------
    ConfigError
        If they have different numbers of cells.
    """
    counts = {1 if isinstance(shape, int) else shape[0] for shape in shapes.values()}
    if len(counts) > 1:
        raise ConfigError(
            f"{', '.join(shapes)} have different numbers of cells: use levels averaged alike, "
            "such as :5x5."
        )
    return counts.pop()
