"""The picture zoo: one real file of every kind that people have, good and bad."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pillow_heif
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 64, 40


@dataclass(frozen=True)
class Animal:
    """One file of the zoo: ``reason`` is part of why it cannot be decoded, None if it can."""

    path: Path
    reason: str | None = None
    grey: bool = False


def landmark() -> Image.Image:
    """Return 64 x 40 pixels, red with a blue right half and a white top left corner."""
    picture = Image.new("RGB", (WIDTH, HEIGHT), (220, 20, 20))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((WIDTH // 2, 0, WIDTH, HEIGHT), fill=(20, 20, 220))
    draw.rectangle((0, 0, 15, 15), fill=(255, 255, 255))
    return picture


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Run a block without root's right to read everything."""
    was = os.geteuid()
    if was == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def draw_zoo(folder: Path) -> list[Animal]:
    """Write the zoo below ``folder`` and list it."""
    folder.mkdir(parents=True, exist_ok=True)
    good = [_write_good(folder, name, save) for name, save in GOOD.items()]
    bad = []
    for name, (content, reason) in BAD.items():
        path = folder / name
        path.write_bytes(content())
        bad.append(Animal(path, reason))
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    bad += [
        Animal(folder / "pipe.jpg", "not a regular file"),
        Animal(folder / "folder.jpg", "directory"),
        Animal(folder / "absent.jpg", "No such file"),
    ]
    return good + bad


def _write_good(folder: Path, name: str, save: Callable[[Path], None]) -> Animal:
    path = folder / name
    save(path)
    return Animal(path, grey="grey" in name)


def _as(mode: str, **options: object) -> Callable[[Path], None]:
    return lambda path: landmark().convert(mode).save(path, **options)


def _turned(orientation: int, undo: Image.Transpose | None, **options: object):
    def save(path: Path) -> None:
        picture = landmark() if undo is None else landmark().transpose(undo)
        exif = Image.Exif()
        exif[274] = orientation
        picture.save(path, exif=exif, **options)

    return save


def damaged_exif(orientation: int) -> bytes:
    """Return EXIF with a good orientation, then an entry whose text lies past the end."""
    entries = struct.pack(">HHIHxx", 274, 3, 1, orientation)
    entries += struct.pack(">HHII", 270, 2, 5000, 4000)
    return b"Exif\0\0MM\0*" + struct.pack(">IH", 8, 2) + entries + bytes(4)


def _with_damaged_exif(path: Path) -> None:
    landmark().transpose(Image.Transpose.ROTATE_90).save(path, exif=damaged_exif(6))


def _with_nonsense_exif(path: Path) -> None:
    landmark().save(path, exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")


def _deep(scale: float, dtype: str) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        grey = np.asarray(landmark().convert("L")).astype(np.float64)
        Image.fromarray((grey * scale).astype(dtype)).save(path)

    return save


def _float_with_holes(path: Path) -> None:
    grey = np.asarray(landmark().convert("L")).astype(np.float32) / 255
    grey[-1, 20:23] = [np.nan, np.inf, -np.inf]
    grey.view(np.uint32)[-1, 23] = 0x7F800001  # a signalling NaN
    Image.fromarray(grey).save(path)


def _see_through(mode: str, **options: object) -> Callable[[Path], None]:
    def save(path: Path) -> None:
        # The white corner is transparent black here: only white paper shows it right.
        picture = landmark().convert("RGBA")
        picture.paste((0, 0, 0, 0), (0, 0, 16, 16))
        picture.convert(mode).save(path, **options)

    return save


def _colour_key(path: Path) -> None:
    picture = landmark()
    picture.paste((1, 2, 3), (0, 0, 16, 16))
    picture.save(path, transparency=(1, 2, 3))


def _animated(path: Path) -> None:
    landmark().save(path, save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))])


def _heic(path: Path) -> None:
    pillow_heif.from_pillow(landmark()).save(path, quality=95)


def _turned_heic(path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    picture = landmark().transpose(Image.Transpose.ROTATE_90)
    stored = pillow_heif.from_pillow(picture)
    stored.info["exif"] = exif.tobytes()
    stored.save(path, quality=95)


def _half_heic() -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(landmark()).save(buffer)
    return buffer.getvalue()[: buffer.tell() - 200]


GOOD: dict[str, Callable[[Path], None]] = {
    "plain.jpg": _as("RGB", quality=95),
    "progressive.JPEG": _as("RGB", quality=95, progressive=True),
    "cmyk.jpg": _as("CMYK", quality=95),
    "grey.jpg": _as("L", quality=95),
    "mpo.jpg": lambda path: landmark().save(
        path, "MPO", quality=95, save_all=True, append_images=[landmark().rotate(180)]
    ),
    "damaged exif.jpg": _with_damaged_exif,
    "nonsense exif.jpg": _with_nonsense_exif,
    **{
        f"turned {orientation}.jpg": _turned(orientation, undo, quality=95)
        for orientation, undo in {
            1: None,
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }.items()
    },
    "turned.png": _turned(6, Image.Transpose.ROTATE_90),
    "turned.webp": _turned(6, Image.Transpose.ROTATE_90, lossless=True),
    "turned.tif": _turned(6, Image.Transpose.ROTATE_90),
    "turned.avif": _turned(6, Image.Transpose.ROTATE_90, quality=95),
    "palette.png": _as("P"),
    "see-through.png": _see_through("RGBA"),
    "see-through palette.png": _see_through("P"),
    "see-through.webp": _see_through("RGBA", lossless=True),
    "see-through.gif": _see_through("RGBA"),
    "colour key.png": _colour_key,
    "see-through grey.png": _see_through("LA"),
    "deep grey.png": _deep(257, "uint16"),
    "deep grey.pgm": _deep(257, "uint16"),
    "deep grey.tif": _deep(257, "uint16"),
    "deep grey 32.tif": _deep(1_000_000, "int32"),
    "float grey.tif": _float_with_holes,
    "huge float grey.tif": _deep(1e36, "float32"),
    "animated.gif": _animated,
    "animated.webp": lambda path: landmark().save(
        path, lossless=True, save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))]
    ),
    "plain.bmp": _as("RGB"),
    "plain.tif": _as("RGB"),
    "lzw.tiff": _as("RGB", compression="tiff_lzw"),
    "plain.ppm": _as("RGB"),
    "plain.jp2": _as("RGB"),
    "plain.avif": _as("RGB", quality=95),
    "plain.heic": _heic,
    "turned.heic": _turned_heic,
    "png in truth.jpg": _as("RGB", format="PNG"),
}


def _half(file_format: str) -> Callable[[], bytes]:
    def cut() -> bytes:
        noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(noise).save(buffer, file_format)
        return buffer.getvalue()[: buffer.tell() // 2]

    return cut


def png_header(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes that claims to hold width x height pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(100)))


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty.jpg": (bytes, "is empty"),
    "words.jpg": (lambda: b"this is no picture at all\n" * 9, "not a picture"),
    "three bytes.jpg": (lambda: b"\xff\xd8\xff", "damaged JPEG"),
    "truncated.jpg": (_half("JPEG"), "truncated"),
    "truncated.png": (_half("PNG"), "truncated"),
    "truncated.gif": (_half("GIF"), "truncated"),
    "truncated.webp": (_half("WEBP"), "cannot be read"),
    "truncated.tif": (_half("TIFF"), "cannot be"),
    "truncated.bmp": (_half("BMP"), "truncated"),
    "truncated.avif": (_half("AVIF"), "damaged AVIF"),
    "truncated.heic": (_half_heic, "damaged HEIF"),
    "bomb.png": (lambda: png_header(60_000, 60_000), "60000 x 60000"),
    "over the memory.png": (lambda: png_header(30_000, 15_000), "takes about 2,250 MB .* higher"),
    "no width.png": (lambda: png_header(0, 10), "damaged PNG"),
    "script.eps": (
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "not a picture",
    ),
}
