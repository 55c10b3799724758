"""Pictures that strangers made to break what reads them; each small, or quick to write."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image
from zoo import HEIGHT, WIDTH, damaged_exif, landmark

GOOD = "a good one.png"
Content = Callable[[], bytes]


def write_hostile(folder: Path) -> list[str]:
    """Write all of them and ``GOOD`` into a new folder; return the names of the hostile ones."""
    folder.mkdir()
    landmark().save(folder / GOOD)
    for name, content in {**BOMBS, **HEADERS, **TIFFS, **ODD, **NAMES}.items():
        (folder / name).write_bytes(content())
    for name, content in _damaged():
        (folder / name).write_bytes(content)
    _special(folder)
    return sorted(path.name for path in folder.iterdir() if path.name != GOOD)


def _special(folder: Path) -> None:
    os.mkfifo(folder / "a pipe.jpg")
    (folder / "a folder.jpg").mkdir()
    for name, target in {
        "endless.jpg": "/dev/zero",
        "random.png": "/dev/urandom",
        "terminal.png": "/dev/tty",
        "memory.gif": "/proc/self/mem",
        "kernel.jpg": "/proc/kmsg",
        "nowhere.jpg": "nowhere at all.jpg",
        "itself.jpg": "itself.jpg",
        "the folder.jpg": ".",
    }.items():
        (folder / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(folder)  # a socket's address may only be short
        server.bind("a socket.jpg")
        os.chdir(here)
    with (folder / "sparse.jpg").open("wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(600 * 2**20)
    with (folder / "sparse.tif").open("wb") as file:
        file.write(b"II*\0" + struct.pack("<I", 2**29 - 8))
        file.truncate(2**29)


def saved(kind: str, picture: Image.Image | None = None, **options: object) -> bytes:
    """Return a picture as a file of some kind."""
    buffer = io.BytesIO()
    (picture or landmark()).save(buffer, kind, **options)
    return buffer.getvalue()


def heic() -> bytes:
    """Return a HEIC picture."""
    buffer = io.BytesIO()
    pillow_heif.from_pillow(landmark()).save(buffer)
    return buffer.getvalue()


def swapped(content: bytes, old: bytes, new: bytes) -> bytes:
    """Return the content with ``new`` for every ``old``, which it must have."""
    assert old in content
    return content.replace(old, new)


# PNG


def chunk(name: bytes, content: bytes) -> bytes:
    """Return one chunk of a PNG."""
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def png(
    width: int = WIDTH,
    height: int = HEIGHT,
    depth: int = 8,
    colour: int = 0,
    *more: bytes,
    interlace: int = 0,
    data: bytes | None = None,
) -> bytes:
    """Return a PNG with some chunks between its head and its data."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace))
    idat = chunk(b"IDAT", zlib.compress(bytes(100)) if data is None else data)
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + idat + chunk(b"IEND", b"")


@cache
def zeros(size: int) -> bytes:
    """Return ``size`` zeros, compressed."""
    packer = zlib.compressobj(6)
    parts = [packer.compress(bytes(2**20)) for _ in range(size // 2**20)]
    return b"".join([*parts, packer.compress(bytes(size % 2**20)), packer.flush()])


GREY = zlib.compress(bytes((WIDTH + 1) * HEIGHT))


# JPEG


def segment(marker: int, content: bytes) -> bytes:
    """Return one segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def inserted(*segments: bytes) -> bytes:
    """Return a JPEG with segments after its beginning."""
    content = saved("JPEG")
    return content[:2] + b"".join(segments) + content[2:]


def sized(content: bytes, width: int, height: int) -> bytes:
    """Return a JPEG that claims other dimensions."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        at = content.find(marker)
        if at > 0:
            return content[: at + 5] + struct.pack(">HH", height, width) + content[at + 9 :]
    raise AssertionError("no frame")


def framed(
    precision: int = 8, components: bytes = b"\x01\x22\0\x02\x11\1\x03\x11\1", marker: int = 0xC0
) -> bytes:
    """Return a JPEG with another frame header."""
    content = saved("JPEG")
    at = content.find(b"\xff\xc0")
    length = struct.unpack(">H", content[at + 2 : at + 4])[0]
    head = struct.pack(">BHHB", precision, HEIGHT, WIDTH, len(components) // 3)
    return content[:at] + segment(marker, head + components) + content[at + 2 + length :]


def passes(count: int, side: int) -> bytes:
    """Return a progressive JPEG whose last pass is sent over and over."""
    content = saved("JPEG", Image.new("L", (side, side), 128), progressive=True)
    start = content.rfind(b"\xff\xda")
    return content[:start] + content[start:-2] * count + content[-2:]


def exif_loop() -> bytes:
    """Return EXIF whose directories lead to each other."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<HHII", 0x8825, 4, 1, 8)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entry + struct.pack("<I", 8)


def frames(count: int) -> bytes:
    """Return a GIF that shows one picture over and over."""
    content = saved("GIF")
    start = content.rfind(b",\0\0\0\0")
    return content[:start] + content[start:-1] * count + b";"


BOMBS: dict[str, Content] = {
    "bomb palette.png": lambda: png(12_000, 12_000, 8, 0, data=zeros(12_001 * 12_000)),
    "bomb one bit.png": lambda: png(20_000, 20_000, 1, 0, data=zeros(2_501 * 20_000)),
    "bomb header.png": lambda: png(2**31 - 1, 2**31 - 1),
    "bomb deep.png": lambda: png(10_000, 10_000, 16, 6),
    "bomb wide.png": lambda: png(2**30, 1),
    "bomb interlaced.png": lambda: png(15_000, 15_000, 8, 2, interlace=1),
    "bomb text.png": lambda: png(64, 40, 8, 0, chunk(b"zTXt", b"a\0\0" + zeros(2**26)), data=GREY),
    "bomb unicode.png": lambda: png(
        64, 40, 8, 0, chunk(b"iTXt", b"a\0\1\0\0\0" + zeros(2**26)), data=GREY
    ),
    "bomb profile.png": lambda: png(
        64, 40, 8, 0, chunk(b"iCCP", b"a\0\0" + zeros(2**26)), data=GREY
    ),
    "bomb texts.png": lambda: png(
        64, 40, 8, 0, *[chunk(b"tEXt", b"a%d\0b" % n) for n in range(50_000)], data=GREY
    ),
    "bomb behind.png": lambda: png(64, 40, 8, 0, data=zeros(2**26)),
    "bomb.gif": lambda: swapped(saved("GIF"), struct.pack("<HH", 64, 40), b"\xff" * 4),
    "bomb.bmp": lambda: swapped(saved("BMP"), struct.pack("<II", 64, 40), b"\xff\xff\0\0" * 2),
    "bomb rle.bmp": lambda: (
        b"BM"
        + struct.pack("<IHHI", 0, 0, 0, 54 + 1024)
        + struct.pack("<IiiHHIIiiII", 40, 20_000, 20_000, 1, 8, 1, 0, 0, 0, 256, 0)
        + bytes(1024)
        + b"\xff\0" * 1000
        + b"\0\1"
    ),
    "bomb.jpg": lambda: sized(saved("JPEG"), 65_500, 65_500),
    "bomb below the limit.jpg": lambda: sized(saved("JPEG"), 65_500, 7_600),
    "bomb progressive.jpg": lambda: sized(saved("JPEG", progressive=True), 65_500, 7_600),
    "bomb passes.jpg": lambda: passes(3_000, 4_000),
    "bomb small passes.jpg": lambda: passes(20_000, 64),
    "bomb.webp": lambda: (
        b"RIFF"
        + struct.pack("<I", len(saved("WEBP")) + 10)
        + b"WEBPVP8X"
        + struct.pack("<I", 10)
        + b"\0" * 4
        + b"\xff\x3f\0" * 2
        + saved("WEBP")[12:]
    ),
    "bomb.avif": lambda: swapped(
        saved("AVIF"), struct.pack(">II", WIDTH, HEIGHT), struct.pack(">II", 65_000, 65_000)
    ),
    "bomb.heic": lambda: swapped(
        heic(), struct.pack(">II", WIDTH, HEIGHT), struct.pack(">II", 65_000, 65_000)
    ),
    "bomb.jp2": lambda: swapped(
        saved("JPEG2000"), struct.pack(">II", WIDTH, HEIGHT), struct.pack(">II", 60_000, 60_000)
    ),
    "bomb tiles.jp2": lambda: saved("JPEG2000", Image.new("L", (256, 256)), tile_size=(8, 8)),
    "bomb layers.jp2": lambda: saved(
        "JPEG2000", quality_mode="rates", quality_layers=list(range(1, 100))
    ),
    "bomb.ppm": lambda: b"P6 60000 60000 255\n" + bytes(100),
    "bomb.pbm": lambda: b"P4 100000 100000\n" + bytes(100),
    "bomb number.ppm": lambda: b"P3 " + b"9" * 10**6 + b" 1 255\n1 1 1",
    "bomb token.pgm": lambda: b"P2 2 2 255\n" + b"1" * 10**7,
    "bomb comment.ppm": lambda: b"P6 #" + b"x" * 10**7,
    "many frames.gif": lambda: frames(10_000),
    "many frames.webp": lambda: saved(
        "WEBP",
        Image.new("RGB", (8, 8)),
        save_all=True,
        method=0,
        append_images=[Image.new("RGB", (8, 8), (n % 256, 0, 0)) for n in range(1_000)],
    ),
    "many frames.apng": lambda: saved(
        "PNG",
        Image.new("L", (8, 8)),
        save_all=True,
        append_images=[Image.new("L", (8, 8), n % 256) for n in range(1_000)],
    ),
    "many pages.tif": lambda: saved(
        "TIFF", Image.new("L", (8, 8)), save_all=True, append_images=[Image.new("L", (8, 8))] * 200
    ),
}

HEADERS: dict[str, Content] = {
    "no head.png": lambda: b"\x89PNG\r\n\x1a\n" + chunk(b"IDAT", GREY) + chunk(b"IEND", b""),
    "no data.png": lambda: png(data=b""),
    "endless chunk.png": lambda: swapped(
        png(data=GREY), struct.pack(">I", len(GREY)) + b"IDAT", b"\xff" * 4 + b"IDAT"
    ),
    "wrong checksum.png": lambda: png(data=GREY)[:-20] + bytes(20),
    "depth 3.png": lambda: png(depth=3, data=GREY),
    "colour 7.png": lambda: png(colour=7, data=GREY),
    "interlace 9.png": lambda: png(interlace=9, data=GREY),
    "no palette.png": lambda: png(64, 40, 8, 3, data=GREY),
    "empty palette.png": lambda: png(64, 40, 8, 3, chunk(b"PLTE", b""), data=GREY),
    "much transparency.png": lambda: png(64, 40, 8, 0, chunk(b"tRNS", bytes(10**5)), data=GREY),
    "broken exif.png": lambda: png(
        64, 40, 8, 0, chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff"), data=GREY
    ),
    "exif loop.png": lambda: png(64, 40, 8, 0, chunk(b"eXIf", exif_loop()[6:]), data=GREY),
    "two heads.png": lambda: png(
        64, 40, 8, 0, chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)), data=GREY
    ),
    "animation of 2 to the 31.png": lambda: png(
        64, 40, 8, 0, chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), data=GREY
    ),
    "frame outside.png": lambda: png(
        64,
        40,
        8,
        0,
        chunk(b"acTL", struct.pack(">II", 2, 0)),
        chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 999, 999, 99, 99, 1, 1, 0, 0)),
        data=GREY,
    ),
    "text bomb as xmp.png": lambda: png(
        64, 40, 8, 0, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP), data=GREY
    ),
    "start only.jpg": lambda: b"\xff\xd8",
    "start and end.jpg": lambda: b"\xff\xd8\xff\xd9",
    "markers only.jpg": lambda: b"\xff\xd8" + b"\xff" * 10**6,
    "no tables.jpg": lambda: swapped(saved("JPEG"), b"\xff\xc4", b"\xff\xee"),
    "no quantisation.jpg": lambda: swapped(saved("JPEG"), b"\xff\xdb", b"\xff\xee"),
    "no scan.jpg": lambda: saved("JPEG")[: saved("JPEG").find(b"\xff\xda")],
    "twelve bits.jpg": lambda: framed(precision=12),
    "no components.jpg": lambda: framed(components=b""),
    "many components.jpg": lambda: framed(components=b"\x01\x11\0" * 255),
    "sampling 0.jpg": lambda: framed(components=b"\x01\0\0\x02\0\1\x03\0\1"),
    "sampling 15.jpg": lambda: framed(components=b"\x01\xff\0\x02\x11\1\x03\x11\1"),
    "arithmetic.jpg": lambda: framed(marker=0xC9),
    "lossless.jpg": lambda: framed(marker=0xC3),
    "hierarchical.jpg": lambda: framed(marker=0xC5),
    "two frames.jpg": lambda: inserted(
        segment(0xC0, struct.pack(">BHHB", 8, 9, 9, 1) + b"\x01\x11\0")
    ),
    "garbage exif.jpg": lambda: inserted(
        segment(0xE1, b"Exif\0\0" + random.Random(0).randbytes(60_000))
    ),
    "damaged exif.jpg": lambda: inserted(segment(0xE1, damaged_exif(6))),
    "exif loop.jpg": lambda: inserted(segment(0xE1, exif_loop())),
    "turned 9.jpg": lambda: inserted(segment(0xE1, damaged_exif(9))),
    "turned 65535.jpg": lambda: inserted(segment(0xE1, damaged_exif(65_535))),
    "many segments.jpg": lambda: inserted(*[segment(0xE5, b"x")] * 50_000),
    "many comments.jpg": lambda: inserted(*[segment(0xFE, bytes(60_000))] * 100),
    "profile in parts.jpg": lambda: inserted(
        *[segment(0xE2, b"ICC_PROFILE\0" + bytes([n, 255]) + bytes(60_000)) for n in range(200)]
    ),
    "photoshop.jpg": lambda: inserted(
        segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed\0\0" + b"\xff" * 40)
    ),
    "adobe.jpg": lambda: inserted(segment(0xEE, b"Adobe\0\x64\0\0\0\0\x09")),
    "broken index.mpo": lambda: inserted(segment(0xE2, b"MPF\0II*\0" + b"\xff" * 40)),
    "restarts.jpg": lambda: inserted(segment(0xDD, b"\0\1")),
    "xmp.jpg": lambda: inserted(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + XMP)),
    "no image.gif": lambda: b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b";",
    "endless comment.gif": lambda: (
        b"GIF89a" + struct.pack("<HHBBB", 9, 9, 0, 0, 0) + b"!\xfe" + b"\xff" * 10**6
    ),
    "code size.gif": lambda: (
        b"GIF89a"
        + struct.pack("<HHBBB", 9, 9, 0, 0, 0)
        + b","
        + struct.pack("<HHHHBB", 0, 0, 9, 9, 0, 255)
        + b"\x04abcd\0;"
    ),
    "frame outside.gif": lambda: (
        b"GIF89a"
        + struct.pack("<HHBBB", 9, 9, 0, 0, 0)
        + b","
        + struct.pack("<HHHHBB", 60_000, 60_000, 5_000, 5_000, 0, 2)
        + b"\x02\x4c\x01\0;"
    ),
    "nothing wide.gif": lambda: b"GIF89a" + bytes(7) + b";",
    "negative.bmp": lambda: swapped(
        saved("BMP"), struct.pack("<II", 64, 40), struct.pack("<ii", 64, -40)
    ),
    "bits.bmp": lambda: swapped(saved("BMP"), struct.pack("<HH", 1, 24), struct.pack("<HH", 1, 77)),
    "offset.bmp": lambda: swapped(saved("BMP"), struct.pack("<I", 54), b"\xff\xff\xff\x7f"),
    "no frames.webp": lambda: (
        b"RIFF"
        + struct.pack("<I", 22)
        + b"WEBPVP8X"
        + struct.pack("<I", 10)
        + b"\x02\0\0\0"
        + b"\xff\x0f\0" * 2
    ),
    "lying length.webp": lambda: (
        swapped(saved("WEBP"), b"RIFF", b"RIFF")[:4] + b"\xff" * 4 + saved("WEBP")[8:]
    ),
    "garbage.webp": lambda: (
        b"RIFF"
        + struct.pack("<I", 512)
        + b"WEBPVP8L"
        + struct.pack("<I", 500)
        + b"\x2f"
        + b"\xaa" * 499
    ),
    "type only.avif": lambda: struct.pack(">I", 24) + b"ftypavif\0\0\0\0avifmif1",
    "type only.heic": lambda: struct.pack(">I", 24) + b"ftypheic\0\0\0\0mif1heic",
    "huge box.avif": lambda: (
        struct.pack(">I", 24)
        + b"ftypavif\0\0\0\0avifmif1"
        + struct.pack(">I4sQ", 1, b"meta", 2**63)
    ),
    "endless box.heic": lambda: (
        struct.pack(">I", 24)
        + b"ftypheic\0\0\0\0mif1heic"
        + struct.pack(">I4s", 0, b"meta")
        + b"\xff" * 999
    ),
    "codestream.jp2": lambda: b"\xff\x4f\xff\x51" + b"\xff" * 400,
    "maximum 0.ppm": lambda: b"P6 2 2 0\n" + bytes(12),
    "maximum 99999.ppm": lambda: b"P6 2 2 99999\n" + bytes(24),
    "negative.ppm": lambda: b"P6 -2 2 255\n" + bytes(12),
    "letters.pgm": lambda: b"P2 2 2 255\nab cd ef gh",
    "header only.cr2": lambda: b"II*\0\x10\0\0\0CR\2\0" + bytes(99),
    "garbage.dng": lambda: b"II*\0" + random.Random(1).randbytes(5_000),
    "garbage.raf": lambda: b"FUJIFILMCCD-RAW 0201" + random.Random(2).randbytes(5_000),
    "garbage.cr3": lambda: (
        struct.pack(">I", 24) + b"ftypcrx \0\0\0\1crx isom" + random.Random(3).randbytes(5_000)
    ),
}

XMP = (
    b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'>"
    + b"".join(b"<!ENTITY %c '%s'>" % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
    + b"]><x:xmpmeta xmlns:x='adobe:ns:meta/' tiff:Orientation='&j;'>&j;</x:xmpmeta>"
)


# TIFF


def tiff(
    *changed: tuple[int, int, list[int]],
    after: int = 0,
    data: bytes | None = None,
    big: bool = False,
) -> bytes:
    """Return a grey TIFF with some of its tags, (tag, type, values), changed or added."""
    content = bytes(WIDTH * HEIGHT) if data is None else data
    tags: dict[int, tuple[int, list[int]]] = {
        **{256: (4, [WIDTH]), 257: (4, [HEIGHT]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1])},
        **{273: (4, [8 + (8 if big else 0)]), 277: (3, [1]), 278: (4, [HEIGHT])},
        **{279: (4, [len(content)]), **{tag: (kind, values) for tag, kind, values in changed}},
    }
    form = "<HHQ" if big else "<HHI"
    room = 8 if big else 4
    at = (16 if big else 8) + len(content)
    behind = at + (8 + 20 * len(tags) + 8 if big else 2 + 12 * len(tags) + 4)
    entries, values_after = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{ {1: 'B', 3: 'H', 4: 'I'}[kind] }", *values)
        if len(packed) > room:
            place = behind + len(values_after)
            values_after += packed
            packed = struct.pack("<Q" if big else "<I", place)
        entries += struct.pack(form, tag, kind, len(values)) + packed.ljust(room, b"\0")
    count = struct.pack("<Q" if big else "<H", len(tags))
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", at) if big else b"II*\0" + struct.pack("<I", at)
    last = struct.pack("<Q" if big else "<I", at if after < 0 else after)
    return head + content + count + entries + last + values_after


TIFFS: dict[str, Content] = {
    "plain.tif": tiff,
    "big.tif": lambda: tiff(big=True),
    "pages in a ring.tif": lambda: tiff(after=-1),
    "inner pages in a ring.tif": lambda: tiff((330, 4, [8 + WIDTH * HEIGHT])),
    "exif in a ring.tif": lambda: tiff(
        (34665, 4, [8 + WIDTH * HEIGHT]), (34853, 4, [8 + WIDTH * HEIGHT])
    ),
    "next page nowhere.tif": lambda: tiff(after=2**31),
    "page nowhere.tif": lambda: b"II*\0\xff\xff\xff\xff",
    "page at zero.tif": lambda: b"II*\0\0\0\0\0",
    "65535 tags.tif": lambda: (
        b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 256, 4, 1, 9) * 65_535
    ),
    "endless tag.tif": lambda: (
        b"II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 256, 4, 2**32 - 1, 9) + bytes(99)
    ),
    "endless big tag.tif": lambda: (
        b"II+\0\x08\0\0\0" + struct.pack("<QQHHQQ", 16, 1, 256, 4, 2**62, 9) + bytes(99)
    ),
    "bomb.tif": lambda: tiff((256, 4, [200_000]), (257, 4, [200_000])),
    "bomb strips.tif": lambda: tiff(
        (257, 4, [2**20]), (278, 4, [1]), (273, 4, [8] * 2**20), (279, 4, [1] * 2**20)
    ),
    "bomb deflate.tif": lambda: tiff(
        (259, 3, [8]),
        (256, 4, [15_000]),
        (257, 4, [15_000]),
        (278, 4, [15_000]),
        data=zeros(15_000 * 15_000),
    ),
    "bomb tile.tif": lambda: tiff(
        (322, 4, [2**31 - 16]), (323, 4, [2**31 - 16]), (324, 4, [8]), (325, 4, [99])
    ),
    "no rows.tif": lambda: tiff((257, 4, [0])),
    "data nowhere.tif": lambda: tiff((273, 4, [2**31])),
    "less data.tif": lambda: tiff((279, 4, [10])),
    "no lengths.tif": lambda: tiff((279, 4, [0])),
    "255 bits.tif": lambda: tiff((258, 3, [255])),
    "65535 samples.tif": lambda: tiff((277, 3, [65_535])),
    "unknown packing.tif": lambda: tiff((259, 3, [12_345])),
    "jpeg without tables.tif": lambda: tiff((259, 3, [7])),
    "old jpeg.tif": lambda: tiff((259, 3, [6]), (513, 4, [8]), (514, 4, [99])),
    "damaged lzw.tif": lambda: tiff((259, 3, [5]), data=b"\xff" * 999),
    "damaged deflate.tif": lambda: tiff((259, 3, [8]), data=b"\xff" * 999),
    "damaged fax.tif": lambda: tiff((259, 3, [4]), (258, 3, [1]), data=b"\x5a" * 999),
    "damaged zstd.tif": lambda: tiff((259, 3, [50_000]), data=b"\xff" * 999),
    "damaged webp.tif": lambda: tiff((259, 3, [50_001]), data=b"\xff" * 999),
    "damaged lerc.tif": lambda: tiff((259, 3, [34_887]), data=b"\xff" * 999),
    "damaged packbits.tif": lambda: tiff((259, 3, [32_773]), data=b"\x81" * 999),
    "predictor 99.tif": lambda: tiff(
        (259, 3, [8]), (317, 3, [99]), data=zlib.compress(bytes(WIDTH * HEIGHT))
    ),
    "planes apart.tif": lambda: tiff(
        (284, 3, [2]), (277, 3, [3]), (258, 3, [8, 8, 8]), (262, 3, [2])
    ),
    "photometric 65535.tif": lambda: tiff((262, 3, [65_535])),
    "short palette.tif": lambda: tiff((262, 3, [3]), (320, 3, [1, 2, 3])),
    "turned 99.tif": lambda: tiff((274, 3, [99])),
    "turned twice.tif": lambda: tiff((274, 3, [6, 8])),
    "complex.tif": lambda: tiff((258, 3, [64]), (339, 3, [6])),
    "half floats.tif": lambda: tiff((258, 3, [16]), (339, 3, [3])),
    "signed.tif": lambda: tiff((339, 3, [2])),
    "lab.tif": lambda: tiff(
        (262, 3, [8]), (277, 3, [3]), (258, 3, [8, 8, 8]), data=bytes(3 * WIDTH * HEIGHT)
    ),
    "luma.tif": lambda: tiff(
        (262, 3, [6]),
        (277, 3, [3]),
        (258, 3, [8, 8, 8]),
        (530, 3, [4, 4]),
        data=bytes(3 * WIDTH * HEIGHT),
    ),
    "empty.tif": lambda: b"II*\0\x08\0\0\0\0\0\0\0\0\0",
}

ODD: dict[str, Content] = {
    "empty.jpg": bytes,
    "one byte.jpg": lambda: b"\xff",
    "words.jpg": lambda: b"this is no picture at all\n" * 9,
    "page.jpg": lambda: b"<!DOCTYPE html><script>alert(1)</script>",
    "vector.png": lambda: b"<!DOCTYPE svg [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><svg>&x;</svg>",
    "script.eps.jpg": lambda: (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n"
    ),
    "document.jpg": lambda: b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF",
    "archive.jpg": lambda: b"PK\3\4" + bytes(99),
    "program.jpg": lambda: b"\x7fELF" + bytes(999),
    "pickle.png": lambda: b"cos\nsystem\n(S'touch /tmp/owned'\ntR.",
    "metafile.bmp": lambda: b"\xd7\xcd\xc6\x9a" + bytes(99),
    "icon.png": lambda: b"\0\0\1\0\1\0" + b"\xff" * 99,
    "both.gif": lambda: saved("GIF") + b"PK\5\6" + bytes(18),
    "script.gif": lambda: swapped(saved("GIF"), b"GIF87a", b"GIF89a") + b"*/=1;alert(1)",
    "trailing.jpg": lambda: saved("JPEG") + random.Random(4).randbytes(10**6),
    "leading.jpg": lambda: bytes(16) + saved("JPEG"),
    "holes.jpg": lambda: saved("JPEG")[:400] + bytes(300) + saved("JPEG")[700:],
    "truncated.jpg": lambda: saved("JPEG", Image.effect_noise((300, 300), 90))[:9_000],
    "truncated progressive.jpg": lambda: saved(
        "JPEG", Image.effect_noise((300, 300), 90), progressive=True
    )[:9_000],
    "two pixels.png": lambda: saved("PNG", Image.new("1", (2, 1))),
    "a line.png": lambda: saved("PNG", Image.new("L", (50_000, 1))),
    "a column.jpg": lambda: saved("JPEG", Image.new("RGB", (1, 60_000))),
    "nan.tif": lambda: saved("TIFF", Image.fromarray(np.full((9, 9), np.nan, np.float32))),
    "infinite.tif": lambda: saved(
        "TIFF", Image.fromarray(np.array([[np.inf, -np.inf, 3e38, -3e38]], np.float32))
    ),
    "extreme.tif": lambda: saved(
        "TIFF", Image.fromarray(np.array([[-(2**31), 2**31 - 1]], np.int32))
    ),
}

NAMES: dict[str, Content] = {
    name: lambda: b"no picture"
    for name in (
        "line\nbreak: error: all is lost.jpg",
        "\x1b[2Jcleared\x1b]0;title\x07.jpg",
        "turned \u202egpj.exe.jpg",
        "isolated \u2066x\u2069 \u200f.jpg",
        "\x9b31mred\x85.jpg",
        "\u2028separated\u2029.jpg",
        os.fsdecode(b"stray \xff\xfe bytes.jpg"),
        "[bold]markup {braces} %s %n.jpg",
        "$(touch owned) `id` ; rm -rf *.jpg",
        "-rf.jpg",
        "\U0001f9e8" * 60 + ".jpg",
        " .jpg",
    )
}


def _damaged() -> Iterator[tuple[str, bytes]]:
    """Yield one file of each kind with random bytes changed, three times over."""
    exif = Image.Exif()
    exif[274] = 6
    kinds = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
    whole = {kind: saved(kind) for kind in kinds} | {"HEIC": heic()}
    whole["EXIF"] = saved("JPEG", exif=exif)
    for kind, content in whole.items():
        for seed in range(3):
            rng = random.Random(seed)
            some = bytearray(content)
            for _ in range(20):
                some[rng.randrange(4, len(some))] = rng.randrange(256)
            suffix = {"JPEG2000": "jp2", "EXIF": "jpg"}.get(kind, kind.lower())
            yield f"random {kind} {seed}.{suffix}", bytes(some)
