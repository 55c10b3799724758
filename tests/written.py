"""Pictures that say something: of EXIF, IPTC and XMP, written by Pillow and by hand."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

EXIF, GPS = 0x8769, 0x8825
XMP = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
    {attributes}>
   {elements}
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def xmp(attributes: str = "", elements: str = "") -> bytes:
    """Return an XMP packet with a Description of these."""
    return XMP.format(attributes=attributes, elements=elements).encode()


def bag(*words: str) -> str:
    """Return keywords as XMP has them."""
    items = "".join(f"<rdf:li>{word}</rdf:li>" for word in words)
    return f"<dc:subject><rdf:Bag>{items}</rdf:Bag></dc:subject>"


def exif(
    main: Mapping[int, Any] = {}, shot: Mapping[int, Any] = {}, gps: Mapping[int, Any] = {}
) -> Image.Exif:
    """Return EXIF with these entries of the picture, of the shot and of its place."""
    entries = Image.Exif()
    entries.update(main)
    entries.get_ifd(EXIF).update(shot)
    entries.get_ifd(GPS).update(gps)
    return entries


def at(latitude: float, longitude: float) -> dict[int, Any]:
    """Return a place as a receiver writes it."""
    return {
        1: "S" if latitude < 0 else "N",
        2: _parts(abs(latitude)),
        3: "W" if longitude < 0 else "E",
        4: _parts(abs(longitude)),
    }


def _parts(degrees: float) -> tuple[IFDRational, ...]:
    whole, minutes = int(degrees), degrees % 1 * 60
    seconds = round(minutes % 1 * 60 * 10_000)
    return IFDRational(whole, 1), IFDRational(int(minutes), 1), IFDRational(seconds, 10_000)


def iptc(**fields: bytes | list[bytes]) -> bytes:
    """Return Photoshop's block with fields of IPTC's second record, such as ``f25``."""
    data = b""
    for name, values in fields.items():
        for value in values if isinstance(values, list) else [values]:
            data += struct.pack(">BBBH", 0x1C, 2, int(name[1:]), len(value)) + value
    block = b"8BIM" + struct.pack(">HxxI", 0x0404, len(data)) + data + b"\0" * (len(data) % 2)
    return b"Photoshop 3.0\0" + block


def save(path: Path, seed: int = 0, size: tuple[int, int] = (24, 16), **parts: Any) -> Path:
    """Write a small picture; ``parts`` are what Pillow's ``save`` takes, and ``iptc`` of a JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    block = parts.pop("iptc", b"")
    Image.fromarray(pixels).save(path, **parts)
    if block:
        content = path.read_bytes()
        segment = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
        path.write_bytes(content[:2] + segment + content[2:])
    return path
