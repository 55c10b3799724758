"""Files beside a picture that say something of it: ``.xmp``, ``.txt`` and ``.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from visita.data.files import decode_prose, read_limited
from visita.data.metadata.columns import (
    CAPTION,
    NOTHING,
    TITLE,
    Metadata,
    date,
    keywords,
    merged,
    moment,
    place,
    rating,
    text,
)
from visita.data.metadata.xmp import MOST_BYTES, read_xmp
from visita.errors import DataError, PassingError


def read_beside(files: Sequence[Path]) -> tuple[Metadata, Metadata]:
    """Return what counts more than the picture's own file says, and what counts less.

    Somebody wrote an ``.xmp`` or ``.txt`` for the picture; a ``.json`` was exported with it, and
    knows its time in UTC alone. A file that is no such thing, or too large, says nothing.

    Raises
    ------
    PassingError
        If one cannot be read now.
    """
    more, less = [], []
    for path in files:
        content = _read(path)
        suffix = path.suffix.lower()
        if suffix == ".json":
            less.append(_of_json(content))
        else:
            more.append(read_xmp(content) if suffix == ".xmp" else _of_text(content))
    return merged(more), merged(less)


def _read(path: Path) -> bytes:
    try:
        return read_limited(path, MOST_BYTES)
    except DataError as error:
        if isinstance(error.__cause__, OSError):
            raise PassingError(str(error)) from error
        return b""


def _of_text(content: bytes) -> Metadata:
    try:
        return Metadata(caption=text(decode_prose(content), CAPTION))
    except DataError:
        return NOTHING


def _of_json(content: bytes) -> Metadata:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):
        return NOTHING
    return _of_values(values) if isinstance(values, dict) else NOTHING


def _of_values(values: Mapping[str, Any]) -> Metadata:
    """Return what is said by plain names, or by Google Takeout's, whose title is a file name."""
    taken, where = values.get("photoTakenTime"), values.get("geoData")
    exported = isinstance(taken, dict)
    return Metadata(
        **(moment(taken.get("timestamp")) if isinstance(taken, dict) else _date(values)),
        **(_place(where) if isinstance(where, dict) else _place(values)),
        title=None if exported else text(values.get("title"), TITLE),
        caption=text(values.get("caption"), CAPTION) or text(values.get("description"), CAPTION),
        keywords=keywords(_list(values.get("keywords")) or _list(values.get("tags"))),
        rating=rating(values.get("rating")),
    )


def _date(values: Mapping[str, Any]) -> dict[str, Any]:
    return date(values.get("date"))


def _place(values: Mapping[str, Any]) -> dict[str, Any]:
    return place(values.get("latitude"), values.get("longitude"))


def _list(value: object) -> list[object]:
    if isinstance(value, str):
        return list(value[:MOST_BYTES].split(","))
    return value if isinstance(value, list) else []
