"""XMP, in a picture or beside it: what Lightroom, darktable, digiKam and others write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import Element, ParseError, XMLPullParser

from visita.data.metadata.columns import (
    CAPTION,
    NOTHING,
    TITLE,
    Metadata,
    camera,
    date,
    keywords,
    place,
    rating,
    text,
)

MOST_BYTES = 2**20
MOST_EVENTS = 40_000
"""Two an element."""
MOST_DEPTH = 30
_PIECE = 2**14
_RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_SPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "exifEX": "http://cipa.jp/exif/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
}
_PREFIXES = {f"{{{space}}}": prefix for prefix, space in _SPACES.items()}
_DATES = ("exif:DateTimeOriginal", "photoshop:DateCreated", "xmp:CreateDate")
_COORDINATE = re.compile(r"\s*(\d+)(?:,(\d+(?:\.\d+)?))?(?:,(\d+(?:\.\d+)?))?\s*([NSEW])\s*")
_ENCODING = ((b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"), (b"", "utf-8-sig"))


def read_xmp(packet: bytes | str) -> Metadata:
    """Return what an XMP packet says; nothing if it is damaged, too large or declares entities."""
    if len(packet) > MOST_BYTES:
        return NOTHING
    words = packet if isinstance(packet, str) else _decoded(packet)
    if "<!DOCTYPE" in words:  # it alone declares entities, which can grow or read files
        return NOTHING
    try:
        return _metadata(dict(_properties(words.rstrip("\0 \r\n\t"))))
    except ParseError:
        return NOTHING


def _decoded(packet: bytes) -> str:
    encoding = next(name for mark, name in _ENCODING if packet.startswith(mark))
    return packet.decode(encoding, "replace")


def _properties(words: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the values of each known property, as in ``("dc:subject", ["dog", "beach"])``."""
    for element in _elements(words):
        if element.tag == f"{_RDF}Description":
            yield from ((_short(name), [value]) for name, value in element.items())
        elif name := _short(element.tag):
            yield name, _values(element)


def _elements(words: str) -> Iterator[Element]:
    """Yield each element at its end, as far as there are not too many nor too deep ones."""
    parser: Any = XMLPullParser(["start", "end"])
    count = depth = 0
    for start in range(0, len(words), _PIECE):
        parser.feed(words[start : start + _PIECE])
        for event, element in parser.read_events():
            count, depth = count + 1, depth + (1 if event == "start" else -1)
            if count > MOST_EVENTS or depth > MOST_DEPTH:
                return
            if event == "end":
                yield element


def _values(element: Element) -> list[str]:
    items = [item.text or "" for item in element.iter(f"{_RDF}li")]
    return items or [element.text or ""]


def _short(name: str) -> str:
    space, end, rest = name.partition("}")
    prefix = _PREFIXES.get(space + end)
    return f"{prefix}:{rest}" if prefix else ""


def _metadata(found: dict[str, list[str]]) -> Metadata:
    def first(*names: str) -> str | None:
        return next((found[name][0] for name in names if found.get(name)), None)

    taken = next(filter(None, (date(first(name)) for name in _DATES)), {})
    north, east = (_degrees(first(f"exif:GPS{axis}")) for axis in ("Latitude", "Longitude"))
    return Metadata(
        **taken,
        **place(north, east),
        camera=camera(first("tiff:Make"), first("tiff:Model")),
        lens=text(first("exifEX:LensModel", "aux:Lens")),
        title=text(first("dc:title", "photoshop:Headline"), TITLE),
        caption=text(first("dc:description"), CAPTION),
        keywords=keywords(found.get("dc:subject", ())),
        rating=rating(first("xmp:Rating")),
    )


def _degrees(value: str | None) -> float | None:
    match = _COORDINATE.fullmatch(value[:60]) if value else None
    if match is None:
        return None
    degrees: float = sum(float(match[k] or 0) / 60 ** (k - 1) for k in (1, 2, 3))
    return -degrees if match[4] in "SW" else degrees
