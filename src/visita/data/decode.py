"""Picture files to RGB: every common raster format, upright, within limits, never a crash.

The file is identified here rather than by ``Image.open``, for two reasons: pictures
between Pillow's own limit and ours would raise a warning, which cannot be silenced in one
thread alone; and no format that runs an interpreter (EPS, WMF, PDF) is ever tried.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from visita.errors import MissingExtraError, PictureError

MAX_PIXELS = 100_000_000
MAX_BYTES = 512 * 2**20
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 274
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Opener = Callable[[IO[bytes], str | bytes], ImageFile.ImageFile]
Accepts = Callable[[bytes], bool | str]


def decode(path: Path, *, side: int | None = None) -> Image.Image:
    """Return the picture in ``path`` (its first frame) in RGB, turned upright.

    Transparency is laid on white and deep greyscale is scaled to 8 bits. Safe to call
    from several threads.

    Parameters
    ----------
    side
        Where given, a JPEG may come back smaller than stored, though never with an edge
        below ``side`` pixels that was above: some three times faster for large photographs.

    Raises
    ------
    PictureError
        If it cannot be read or decoded, or exceeds ``MAX_BYTES`` or ``MAX_PIXELS``. The
        message is the bare reason, for use beside the file's name.
    """
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            _check_file(os.fstat(file.fileno()))
            picture = _identify(file)
            _check_pixels(*picture.size)
            if side is not None and isinstance(picture, _Jpeg):
                picture.draft("RGB", (side, side))
            picture.load()
            return _upright(_to_rgb(picture), _orientation(picture))
    except PictureError:
        raise
    except MissingExtraError as error:
        raise PictureError(str(error)) from error
    except OSError as error:
        raise PictureError(f"cannot be read: {error.strerror or error}") from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise PictureError(f"cannot be decoded: {error or type(error).__name__}") from error


def _open_at_once(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a FIFO waits for a writer for ever.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _check_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("is not a regular file")
    if status.st_size == 0:
        raise PictureError("is empty")
    if status.st_size > MAX_BYTES:
        raise PictureError(f"is larger than {MAX_BYTES // 2**20} MiB")


def _check_pixels(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"has {width} x {height} pixels; the limit is {MAX_PIXELS // 10**6} million"
        )


class _Jpeg(JpegImageFile):
    """A JPEG, or the first of a multi-picture JPEG, whose damaged EXIF does no harm."""

    def _read_dpi_from_exif(self) -> None:
        """Skip the search for a resolution: Pillow warns of each damaged entry on its way."""


@cache
def _openers() -> dict[str, tuple[Opener, Accepts]]:
    Image.init()
    openers: dict[str, tuple[Opener, Accepts]] = {}
    for name in FORMATS:
        opener, accepts = Image.OPEN[name]
        assert accepts is not None  # true of all FORMATS
        openers[name] = (_Jpeg if name == "JPEG" else opener, accepts)
    openers["HEIF"] = (_open_heif, _accepts_heif)
    return openers


def _accepts_heif(prefix: bytes) -> bool:
    return prefix[4:8] == b"ftyp" and prefix[8:12] in _HEIF_BRANDS


def _open_heif(file: IO[bytes], name: str | bytes) -> ImageFile.ImageFile:
    try:
        from pillow_heif import HeifImageFile  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("reading HEIC pictures", "heif") from error
    picture: ImageFile.ImageFile = HeifImageFile(file, name)  # type: ignore[no-untyped-call]
    return picture


def _identify(file: IO[bytes]) -> ImageFile.ImageFile:
    prefix = file.read(16)
    reason = "is not a picture in a format that visita reads"
    for name, (opener, accepts) in _openers().items():
        if accepts(prefix) is not True:
            continue
        file.seek(0)
        try:
            return opener(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:
            # What Pillow's drivers raise for a header they cannot use.
            reason = f"is a damaged {name} file: {error}"
    raise PictureError(reason)


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        picture = _to_grey(picture)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        picture = Image.new("RGB", layer.size, "white")
        picture.paste(layer, mask=layer.getchannel("A"))
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _to_grey(picture: Image.Image) -> Image.Image:
    # 16-bit formats define white as 65535; 32-bit integers and floats define none, so
    # their darkest and brightest finite values become black and white.
    if picture.mode.startswith("I;16") or (picture.mode, picture.format) == ("I", "PPM"):
        values = np.asarray(picture, dtype=np.float32) / 257
    else:
        with np.errstate(invalid="ignore"):  # numpy warns of signalling NaNs in a cast
            values = _stretch(np.array(picture, dtype=np.float64))
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))


def _stretch(values: NDArray[Any]) -> NDArray[Any]:
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
    return (values - low) * (255 / (high - low or 1.0))


def _upright(picture: Image.Image, orientation: int) -> Image.Image:
    if orientation in _UPRIGHT:
        picture = picture.transpose(_UPRIGHT[orientation])
    picture.info.clear()  # lest anyone turn it again
    return picture


def _orientation(picture: ImageFile.ImageFile) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it is damaged."""
    try:
        if exif := picture.info.get("exif"):
            return _exif_orientation(exif)
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:
        return 1


def _exif_orientation(exif: bytes) -> int:
    # Only the one entry is read: Pillow parses them all, and warns of each damaged one.
    tiff = exif.removeprefix(b"Exif\0\0").removeprefix(b"Exif\0\0")
    order = "<" if tiff.startswith(b"II") else ">"
    (start,) = struct.unpack_from(f"{order}I", tiff, 4)
    (entries,) = struct.unpack_from(f"{order}H", tiff, start)
    for entry in range(entries):
        tag, value = struct.unpack_from(f"{order}H6xH", tiff, start + 2 + 12 * entry)
        if tag == _ORIENTATION:
            return int(value)
    return 1
