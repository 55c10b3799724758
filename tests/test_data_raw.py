"""RAW files: their preview is read, upright, by LibRaw; what has none says so."""

from __future__ import annotations

import io
import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from zoo import HEIGHT, WIDTH, landmark

from visita.data import decode
from visita.errors import PictureError

pytestmark = pytest.mark.slow

pytest.importorskip("rawpy")
SHORT, LONG, ASCII, BYTE, RATIONAL, SIGNED = 3, 4, 2, 1, 5, 10
SIZE = {SHORT: "H", LONG: "I", BYTE: "B", RATIONAL: "II", SIGNED: "ii"}
Tags = dict[int, tuple[int, object]]


def dng(preview: bytes | None, orientation: int = 1) -> bytes:
    """Return a small DNG: a Bayer mosaic of 64 x 64, and a JPEG as its preview."""
    mosaic = np.random.default_rng(0).integers(0, 4096, (64, 64), np.uint16).tobytes()
    matrix = [1, 1, 0, 1, 0, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 1, 1, 1]
    raw: Tags = {
        **{254: (LONG, [0]), 256: (LONG, [64]), 257: (LONG, [64]), 258: (SHORT, [16])},
        **{259: (SHORT, [1]), 262: (SHORT, [32803]), 273: (LONG, [0]), 277: (SHORT, [1])},
        **{278: (LONG, [64]), 279: (LONG, [len(mosaic)]), 33421: (SHORT, [2, 2])},
        **{33422: (BYTE, [0, 1, 1, 2]), 50717: (LONG, [4095])},
    }
    first: Tags = {
        **{254: (LONG, [1]), 256: (LONG, [WIDTH]), 257: (LONG, [HEIGHT]), 258: (SHORT, [8] * 3)},
        **{259: (SHORT, [7]), 262: (SHORT, [6]), 271: (ASCII, b"Visita\0"), 272: (ASCII, b"One\0")},
        **{273: (LONG, [0]), 274: (SHORT, [orientation]), 277: (SHORT, [3]), 278: (LONG, [HEIGHT])},
        **{279: (LONG, [len(preview or b"")]), 330: (LONG, [0])},
        **{50706: (BYTE, [1, 4, 0, 0]), 50708: (ASCII, b"Visita One\0")},
        **{50721: (SIGNED, matrix), 50728: (RATIONAL, [1, 1, 1, 1, 1, 1]), 50778: (SHORT, [21])},
    }
    if preview is None:
        del first[273], first[279]
    start = 8 + len(ifd(first, 8)) + len(ifd(raw, 8))
    first[330] = (LONG, [8 + len(ifd(first, 8))])
    raw[273] = (LONG, [start])
    if preview is not None:
        first[273] = (LONG, [start + len(mosaic)])
    whole = b"II*\0" + struct.pack("<I", 8) + ifd(first, 8)
    return whole + ifd(raw, len(whole)) + mosaic + (preview or b"")


def ifd(tags: Tags, at: int) -> bytes:
    """Return one directory of a TIFF that begins at ``at``, with the values after it."""
    entries, values = b"", b""
    behind = at + 2 + 12 * len(tags) + 4
    for tag, (kind, value) in sorted(tags.items()):
        if kind == ASCII:
            count, content = len(value), value
        else:
            pairs = len(SIZE[kind])
            count = len(value) // pairs
            content = struct.pack(f"<{len(value)}{SIZE[kind][0]}", *value)
        if len(content) > 4:
            place = struct.pack("<I", behind + len(values))
            values += content + bytes(len(content) % 2)
        else:
            place = content.ljust(4, b"\0")
        entries += struct.pack("<HHI", tag, kind, count) + place
    return struct.pack("<H", len(tags)) + entries + bytes(4) + values


def jpeg(picture: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def looks_like_the_landmark(picture: Image.Image) -> bool:
    difference = np.asarray(picture, float) - np.asarray(landmark(), float)
    return picture.size == (WIDTH, HEIGHT) and bool(np.abs(difference).mean() < 8)


@pytest.mark.parametrize(
    ("orientation", "undo"),
    [(1, None), (3, Image.Transpose.ROTATE_180), (6, Image.Transpose.ROTATE_90)],
)
def test_the_preview_is_read_upright(tmp_path, orientation, undo):
    path = tmp_path / "photo.DNG"
    stored = landmark() if undo is None else landmark().transpose(undo)
    path.write_bytes(dng(jpeg(stored), orientation))
    assert looks_like_the_landmark(decode(path))
    exif = Image.Exif()
    exif[274] = orientation  # said twice, it is turned once
    path.write_bytes(dng(jpeg(stored, exif=exif), orientation))
    assert looks_like_the_landmark(decode(path))


def test_raw_files_without_a_preview_or_damaged_say_so(tmp_path):
    good = dng(jpeg(landmark()))
    rng = np.random.default_rng(0)
    damaged = {"none": dng(None), "words": b"no picture " * 50, "cut": good[:500]}
    for number in range(60):
        some = bytearray(good)
        for place in rng.integers(0, 700, 5):
            some[place] = rng.integers(256)
        damaged[f"random {number}"] = bytes(some)
    outcomes = []
    for name, content in damaged.items():
        path = tmp_path / f"{name}.nef"
        path.write_bytes(content)
        try:
            outcomes.append(decode(path).mode)
        except PictureError as error:
            assert str(error)
            outcomes.append("refused")
    assert outcomes[:3] == ["refused"] * 3
    assert set(outcomes) == {"RGB", "refused"}


def test_without_the_extra_it_says_what_to_install(tmp_path):
    (tmp_path / "photo.dng").write_bytes(dng(jpeg(landmark())))
    code = (
        "import sys, pathlib; sys.modules['rawpy'] = None\n"
        "from visita.data import decode; from visita.errors import PictureError\n"
        "try: decode(pathlib.Path(sys.argv[1]))\n"
        "except PictureError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "photo.dng"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.strip().endswith("pip install 'visita[raw]'")
