"""Which pictures a search is among: by date, camera, place, folder, words or a condition."""

from __future__ import annotations

import math
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from visita.arguments import Frozen
from visita.data.metadata.columns import date as as_date
from visita.data.pictures import printable
from visita.errors import ConfigError, DataError
from visita.gallery.condition import check_condition
from visita.gallery.table import COLUMNS, path_of

KILOMETRES = 5.0
"""How near is near, unless it is said."""
SECONDS = 30
"""What a condition may take of a processor."""
_DEGREE = 111.2
"""Kilometres of one of latitude."""


def _dated(value: object) -> object:
    return value.isoformat() if isinstance(value, (date, datetime)) else value


def _checked_date(value: str) -> str:
    found: dict[str, Any] = as_date(value)
    if not found:
        raise ValueError(f"{value!r} is no date: write it as 2024, 2024-05-01 or 2024-05-01T10:30")
    day: str = found["date"]
    return day


def _near(value: object) -> object:
    parts = value.split(",") if isinstance(value, str) else value
    if isinstance(parts, (list, tuple)) and len(parts) == 2:
        return (*parts, KILOMETRES)
    return parts


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Day = Annotated[str, BeforeValidator(_dated), AfterValidator(_checked_date)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
Distance = Annotated[float, Field(gt=0)]


class Filter(Frozen):
    """Which pictures to search among: those of which all that is given holds.

    What is written in a picture's file (EXIF, IPTC, XMP) and in files beside it (``.xmp``,
    ``.json``, ``.txt``) tells; a picture of which it is not known does not pass. An empty filter
    lets everything pass; matches then have dates.

    Attributes
    ----------
    since, until : str, date, datetime or None
        When it was taken: ``2024``, ``2024-05``, ``2024-05-01`` or with a time; of ``until`` the
        whole year, month or day counts.
    camera : str or None
        A part of the camera's name, in any case.
    near : tuple of float, str or None
        Latitude and longitude in degrees, and the kilometres around (5 unless given).
    under : str, Path or None
        A folder, by its path or its path within the gallery.
    tag : tuple of str
        Keywords that it has all of, in any case.
    rating : int or None
        Stars at least.
    text : str or None
        Words in it, its title, caption, keywords, folders or place; all of them, and "in quotes"
        side by side.
    where : str or None
        A condition in SQL over the columns, as in ``width > height AND camera IS NOT NULL``; see
        ``visita gallery info`` for the columns.

    Raises
    ------
    ConfigError
        If a value does not fit.

    Examples
    --------
    >>> visita.Filter(since="2024", near="48.86,2.35", tag="holiday")
    Filter(since='2024', near=(48.86, 2.35, 5.0), tag=('holiday',))
    >>> gallery = visita.Gallery.open("mypairs")
    >>> len(gallery.search("a red star", k=3, where=visita.Filter(text="star")))
    3
    """

    since: Day | None = None
    until: Day | None = None
    camera: str | None = None
    near: Annotated[tuple[Latitude, Longitude, Distance] | None, BeforeValidator(_near)] = None
    under: Path | None = None
    tag: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    rating: Annotated[int | None, Field(ge=-1, le=5)] = None
    text: str | None = None
    where: str | None = None

    def passing(self, connection: sqlite3.Connection, folder: Path) -> dict[str, str | None]:
        """Return the paths in a gallery's table that pass, and their dates.

        Parameters
        ----------
        folder
            The gallery's.

        Raises
        ------
        ConfigError
            If ``where`` is no condition or takes too long, or ``text`` holds no word.
        DataError
            If there is no folder ``under``.
        """
        connection.create_function("holds", 2, _holds, deterministic=True)
        connection.create_function("kilometres", 4, _kilometres, deterministic=True)
        if self.where is not None:
            check_condition(connection, self.where, COLUMNS)
        clauses, values = zip(*self._clauses(folder), strict=True)
        query = f"SELECT path, raw, date FROM pictures WHERE {' AND '.join(clauses)}"
        with _limited(connection):
            rows = connection.execute(query, [v for some in values for v in some])
            return {path_of(path, raw): taken for path, raw, taken in rows}

    def _clauses(self, folder: Path) -> Iterator[tuple[str, tuple[Any, ...]]]:
        yield "true", ()
        if self.since is not None:
            yield "date >= ?", (self.since,)
        if self.until is not None:
            yield "date < ?", (f"{self.until}~",)  # which is greater than any digit or sign
        if self.camera is not None:
            yield "holds(?, camera)", (self.camera,)
        if self.near is not None:
            yield from _around(*self.near)
        if self.under is not None:
            yield from _below(self.under, folder)
        for tag in self.tag:
            yield "holds(char(10) || ? || char(10), char(10) || keywords || char(10))", (tag,)
        if self.rating is not None:
            yield "rating >= ?", (self.rating,)
        if self.text is not None:
            found = "id IN (SELECT rowid FROM full_text WHERE full_text MATCH ?)"
            yield found, (_full_text(self.text),)
        if self.where is not None:
            yield f"({self.where}\n)", ()


def _around(
    latitude: float, longitude: float, distance: float
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    reach = distance / _DEGREE
    yield "latitude BETWEEN ? AND ?", (latitude - reach, latitude + reach)
    yield "kilometres(latitude, longitude, ?, ?) <= ?", (latitude, longitude, distance)


def _below(under: Path, folder: Path) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield what holds of the pictures below a folder, whose path begins in the gallery or here."""
    wanted = next((p.resolve() for p in (folder / under, under) if p.is_dir()), None)
    if wanted is None:
        raise DataError(f"There is no folder {printable(str(under))!r} to search under.")
    if folder.is_relative_to(wanted):
        return
    if not wanted.is_relative_to(folder):
        yield "false", ()
        return
    start = os.path.join(printable(str(wanted.relative_to(folder))), "")  # noqa: PTH118  ends with /
    yield "substr(path, 1, ?) = ?", (len(start), start)


def _full_text(words: str) -> str:
    """Return a query of FTS5's for all of the words, those in quotes side by side."""
    parts = [quoted or word for quoted, word in re.findall(r'"([^"]*)"|([^\s"]+)', words)]
    parts = [part for part in parts if re.search(r"\w", part)]
    if not parts:
        raise ConfigError(f"{words!r} holds no word to look for in what is written of pictures.")
    return " ".join(f'"{part}"' for part in parts)


def _holds(part: str, whole: str | None) -> bool:
    return whole is not None and part.casefold() in whole.casefold()


def _kilometres(*degrees: float | None) -> float | None:
    """Return the distance of two places on a sphere, by the haversine formula."""
    if None in degrees:
        return None
    north, east, other_north, other_east = (math.radians(d or 0) for d in degrees)
    half = math.sin((other_north - north) / 2) ** 2
    half += math.cos(north) * math.cos(other_north) * math.sin((other_east - east) / 2) ** 2
    return 2 * 6371.0 * math.asin(min(1.0, math.sqrt(half)))


@contextmanager
def _limited(connection: sqlite3.Connection) -> Iterator[None]:
    """End what takes too long.

    Raises
    ------
    ConfigError
        If it did, or a value is computed that cannot be.
    """
    end = time.thread_time() + SECONDS
    connection.set_progress_handler(lambda: time.thread_time() > end, 10_000)
    try:
        yield
    except (sqlite3.Error, UnicodeError) as error:
        reason = f"it takes over {SECONDS} s" if "interrupt" in str(error) else str(error)
        raise ConfigError(f"The filter cannot be used: {reason}.") from error
    finally:
        connection.set_progress_handler(None, 0)
