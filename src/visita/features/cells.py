"""Grids that a network reads side by side, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping

from visita.errors import ConfigError


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
