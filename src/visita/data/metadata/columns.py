"""The columns of metadata, and how what strangers wrote becomes a value of one, or nothing."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Self

WORD, TITLE, CAPTION = 200, 500, 5000
"""Characters that are kept of a camera or keyword, of a title and of a caption."""
MOST_KEYWORDS = 100
_TOGETHER = (
    *(("date", "utc_offset"), ("latitude", "longitude"), ("width", "height"), ("camera", "lens")),
    *(("title",), ("caption",), ("keywords",), ("rating",)),
)
"""What comes from one source, so that no place is half of one and half of another."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is known of one picture, or what one source says of it.

    Attributes
    ----------
    date : str or None
        When it was taken, in the time of that place, as far as it is known: ``2024``,
        ``2024-05-01`` or ``2024-05-01T10:20:30``. Of two, the greater text is the later.
    utc_offset : int or None
        Minutes that this is ahead of UTC, where that is known.
    camera, lens : str or None
        As in ``Canon EOS R5``.
    latitude, longitude : float or None
        Where it was taken, in degrees: both or none.
    width, height : int or None
        Pixels, as it is shown.
    title, caption : str or None
    keywords : tuple of str
    rating : int or None
        Stars, 0 to 5; -1 is rejected.
    """

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

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return what ``to_dict`` was of."""
        return cls(**{**values, "keywords": tuple(values.get("keywords", ()))})

    def to_dict(self) -> dict[str, Any]:
        """Return what is known, as JSON values."""
        values = {name: getattr(self, name) for name in NAMES}
        return {name: value for name, value in values.items() if value is not None and value != ()}


NAMES = tuple(field.name for field in fields(Metadata))
NOTHING = Metadata()


def merged(sources: Iterable[Metadata]) -> Metadata:
    """Return what the first source says, what the next says of the rest, and so on."""
    known: dict[str, Any] = {}
    for said in (source.to_dict() for source in sources if source is not NOTHING):
        for names in _TOGETHER:
            if known.keys().isdisjoint(names):
                known.update((name, said[name]) for name in names if name in said)
    return Metadata(**known)


_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def text(value: object, most: int = WORD) -> str | None:
    """Return a text of at most ``most`` characters on one line; None if it is blank or no text."""
    if not isinstance(value, str):
        return None
    plain = _CONTROL.sub(" ", value[: 4 * most])
    return unicodedata.normalize("NFC", " ".join(plain.split()))[:most].strip() or None


def keywords(values: Iterable[object]) -> tuple[str, ...]:
    """Return the first ``MOST_KEYWORDS`` different ones."""
    found: dict[str, None] = {}
    for value in values:
        if len(found) == MOST_KEYWORDS:
            break
        if (word := text(value)) is not None:
            found.setdefault(word)
    return tuple(found)


def number(value: object) -> float | None:
    """Return a finite number, which may be written as a text; None of all else."""
    try:
        found = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return found if math.isfinite(found) else None


def whole(value: object, low: int, high: int) -> int | None:
    """Return a whole number from ``low`` to ``high``; None of all else."""
    return value if isinstance(value, int) and low <= value <= high else None


def rating(value: object) -> int | None:
    """Return stars from -1 to 5; None of all else."""
    stars = number(value)
    return round(stars) if stars is not None and -1 <= stars <= 5 else None


def place(latitude: object, longitude: object) -> dict[str, Any]:
    """Return both in degrees, if they are a place; 0, 0 is what a receiver without one writes."""
    north, east = number(latitude), number(longitude)
    if north is None or east is None or not (abs(north) <= 90 and abs(east) <= 180):
        return {}
    return {"latitude": round(north, 7), "longitude": round(east, 7)} if north or east else {}


def camera(maker: object, model: object) -> str | None:
    """Return a camera's name, the maker's first word once."""
    by, named = text(maker), text(model)
    if by is None or named is None:
        return named or by
    return named if named.casefold().startswith(by.split()[0].casefold()) else f"{by} {named}"


_DATE = re.compile(
    r"\s*(\d{4})(?:[-:/.]?(\d\d)(?:[-:/.]?(\d\d)(?:[T\s]+(\d\d):?(\d\d)(?::?(\d\d)(?:[.,]\d*)?)?"
    r"\s*(Z|[+-]\d\d:?\d\d)?)?)?)?\s*"
)


def date(value: object, offset: object = None) -> dict[str, Any]:
    """Return ``date`` and, where it is known, ``utc_offset``; nothing if it is no date.

    Parameters
    ----------
    value
        As in EXIF (``2024:05:01 10:20:30``), ISO 8601 or IPTC (``20240501``).
    offset
        As in ``+02:00``, where it is written apart.
    """
    match = _DATE.fullmatch(value) if isinstance(value, str) and len(value) < 60 else None
    if match is None:
        return {}
    *parts, zone = match.groups()
    given = [int(part) for part in parts if part is not None]
    try:
        datetime(*[*given, *(1, 1)[len(given) - 1 :]])  # type: ignore[arg-type]
    except ValueError:
        return {}
    year, *rest = [f"{part:0{4 if k == 0 else 2}}" for k, part in enumerate(given)]
    day, clock = "-".join([year, *rest[:2]]), ":".join([*rest[2:], "00"][:3])
    found: dict[str, Any] = {"date": f"{day}T{clock}" if len(rest) > 2 else day}
    minutes = _minutes(zone or offset)
    return found if minutes is None or len(rest) < 3 else {**found, "utc_offset": minutes}


def moment(seconds: object) -> dict[str, Any]:
    """Return the ``date`` of seconds since 1970, in UTC."""
    count = number(seconds)
    if count is None or abs(count) > 1e11:
        return {}
    try:
        at = datetime(1970, 1, 1) + timedelta(seconds=round(count))
    except OverflowError:
        return {}
    return {"date": at.isoformat(), "utc_offset": 0}


def cleaned(values: Mapping[str, Any]) -> Metadata:
    """Return what values by the names of ``Metadata`` say, as far as they are some."""
    taken = date(values.get("date"))
    if len(taken.get("date", "")) > 10:
        taken["utc_offset"] = whole(values.get("utc_offset"), -900, 900)
    return Metadata(
        **taken,
        **place(values.get("latitude"), values.get("longitude")),
        camera=text(values.get("camera")),
        lens=text(values.get("lens")),
        width=whole(values.get("width"), 1, 10**9),
        height=whole(values.get("height"), 1, 10**9),
        title=text(values.get("title"), TITLE),
        caption=text(values.get("caption"), CAPTION),
        keywords=keywords(values.get("keywords") or ()),
        rating=rating(values.get("rating")),
    )


def _minutes(zone: object) -> int | None:
    if zone == "Z":
        return 0
    match = re.fullmatch(r"\s*([+-])(\d\d):?(\d\d)\s*\0*", zone) if isinstance(zone, str) else None
    if match is None:
        return None
    minutes = 60 * int(match[2]) + int(match[3])
    return (-minutes if match[1] == "-" else minutes) if minutes <= 15 * 60 else None
