"""What a picture's own file says of it: EXIF, IPTC, XMP, and the text chunks of a PNG.

Only headers are read. Each part is read by itself, so that a damaged one spoils no other.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from PIL import Image, IptcImagePlugin
from PIL.ImageFile import ImageFile

from visita.data.files import open_at_once
from visita.data.formats import BoundedFile, identify, is_raw_name
from visita.data.metadata.columns import (
    CAPTION,
    NOTHING,
    TITLE,
    Metadata,
    camera,
    date,
    keywords,
    merged,
    number,
    place,
    rating,
    text,
)
from visita.data.metadata.xmp import read_xmp
from visita.errors import PassingError

MOST_EXIF = 2 * 2**20
_RAW_HEAD = 2**18
"""Bytes at the start of a RAW file of TIFF's kind that hold its entries, as a rule."""
_QUIET = Lock()
Values = dict[int, Any]
Found = TypeVar("Found")


def read_embedded(path: Path) -> Metadata:
    """Return what the file says; nothing where it is no picture that visita reads.

    Raises
    ------
    PassingError
        If it cannot be read now. The message is the bare reason.
    """
    try:
        with BoundedFile(FileIO(path, opener=open_at_once)) as file, _quiet():
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return NOTHING
            if is_raw_name(path.name):
                return _of_exif(_parsed(file.read(_RAW_HEAD)))
            with identify(file) as picture:
                return _of_picture(picture)
    except OSError as error:
        if not error.errno:  # Pillow's, for what is cut short
            return NOTHING
        raise PassingError(f"cannot be read: {error.strerror}") from error
    except Exception:  # as readers of damaged files raise nearly anything
        return NOTHING


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Pillow from warning of each damaged entry."""
    with _QUIET, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _of_picture(picture: ImageFile) -> Metadata:
    exif = _try(_exif, picture) or Image.Exif()
    sources = (
        _try(_of_xmp, picture),
        _try(_of_exif, exif),
        _try(_of_iptc, picture),
        _try(_of_chunks, picture),
        _try(_size, picture, exif),
    )
    return merged(found for found in sources if found)


def _try(read: Callable[..., Found], *parts: object) -> Found | None:
    """Return what is read, or None where that is damaged."""
    try:
        return read(*parts)
    except OSError as error:
        if error.errno:
            raise
        return None
    except Exception:  # one damaged part of a file says nothing of the others
        return None


def _exif(picture: ImageFile) -> Image.Exif:
    """Return the entries; a PNG's ``getexif`` would decode the picture to look behind it."""
    content = picture.info.get("exif")
    if content:
        return _parsed(content)
    return picture.getexif() if picture.format in ("TIFF", "MPO", "JPEG") else Image.Exif()


def _parsed(content: bytes) -> Image.Exif:
    exif = Image.Exif()
    if len(content) <= MOST_EXIF:
        exif.load(content)
    return exif


def _of_xmp(picture: ImageFile) -> Metadata:
    packet = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp")
    return read_xmp(packet) if isinstance(packet, (bytes, str)) else NOTHING


def _size(picture: ImageFile, exif: Image.Exif) -> Metadata:
    turned = exif.get(0x0112, 1) in range(5, 9)
    width, height = reversed(picture.size) if turned else picture.size
    return Metadata(width=width, height=height)


def _of_exif(exif: Image.Exif) -> Metadata:
    if not len(exif):
        return NOTHING
    main = {tag: _words(exif.get(tag)) for tag in (0x010E, 0x010F, 0x0110, 0x0132, 0x4746)}
    shot: Values = _try(exif.get_ifd, 0x8769) or {}
    return Metadata(
        **_taken(main, shot),
        **_place(_try(exif.get_ifd, 0x8825) or {}),
        camera=camera(main[0x010F], main[0x0110]),
        lens=text(_words(shot.get(0xA434))),
        title=text(_wide(exif.get(0x9C9B)), TITLE),
        caption=text(main[0x010E], CAPTION) or text(_wide(exif.get(0x9C9C)), CAPTION),
        keywords=keywords((_wide(exif.get(0x9C9E)) or "").split(";")),
        rating=rating(main[0x4746]),
    )


def _taken(main: Values, shot: Values) -> dict[str, Any]:
    """Return when it was taken, or else digitized or, where nothing else is said, written."""
    moments = ((shot.get(0x9003), shot.get(0x9011)), (shot.get(0x9004), shot.get(0x9012)))
    dates = (date(_words(day), _words(zone)) for day, zone in (*moments, (main[0x0132], None)))
    return next(filter(None, dates), {})


def _place(gps: Values) -> dict[str, Any]:
    return place(_degrees(gps.get(2), gps.get(1)), _degrees(gps.get(4), gps.get(3)))


def _degrees(parts: object, side: object) -> float | None:
    values = [number(part) for part in parts[:3]] if isinstance(parts, tuple) else []
    if not values or None in values:
        return None
    degrees: float = sum((value or 0) / 60**k for k, value in enumerate(values))
    return -degrees if str(side).strip("\0 ").upper() in ("S", "W") else degrees


def _words(value: object) -> object:
    """Return a text as it was meant: Pillow reads the bytes of any as Latin-1."""
    if isinstance(value, str):
        try:
            return value.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return value
    return value


def _wide(value: object) -> str | None:
    """Return a text of Windows Explorer's, which is in UTF-16."""
    return value.decode("utf-16-le", "replace") if isinstance(value, bytes) else None


def _of_iptc(picture: ImageFile) -> Metadata:
    if not picture.info.get("photoshop") and picture.format != "TIFF":
        return NOTHING
    found = IptcImagePlugin.getiptcinfo(picture) or {}

    def first(field: int) -> str:
        values = _list(found.get((2, field)))
        return _told(values[0]) if values else ""

    return Metadata(
        **date(f"{first(55)}T{first(60)}" if first(60) else first(55)),
        title=text(first(5), TITLE),
        caption=text(first(120), CAPTION),
        keywords=keywords(map(_told, _list(found.get((2, 25))))),
    )


def _list(value: Any) -> list[bytes]:
    return value if isinstance(value, list) else [value] if value else []


def _told(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _of_chunks(picture: ImageFile) -> Metadata:
    if picture.format != "PNG":
        return NOTHING
    said = picture.info
    return Metadata(
        **date(said.get("Creation Time")),
        title=text(said.get("Title"), TITLE),
        caption=text(said.get("Description"), CAPTION) or text(said.get("Comment"), CAPTION),
        keywords=keywords(str(said.get("Keywords", ""))[:CAPTION].split(",")),
    )
