"""Which format a picture file is in, by its first bytes, and what opens it.

The file is identified here rather than by ``Image.open``, for two reasons: pictures
between Pillow's own limit and ours would raise a warning, which cannot be silenced in one
thread alone; and no format that runs an interpreter (EPS, WMF, PDF) is ever tried.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from io import BufferedReader, BytesIO
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from visita.errors import MissingExtraError, PictureError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_ORIENTATION = 274
Opener = Callable[[IO[bytes], str | bytes], ImageFile.ImageFile]
Accepts = Callable[[bytes], bool | str]


logging.getLogger("PIL").addHandler(logging.NullHandler())  # what is wrong is in its exceptions


class BoundedFile(BufferedReader):
    """A file that can be read in so many pieces and no more.

    Pillow reads headers piece by piece, some byte by byte: one that never ends, of hundreds of
    megabytes, would take hours.
    """

    MOST_READS = 1_000_000
    _reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next ``size`` bytes, as any file does.

        Raises
        ------
        PictureError
            If it was read too often.
        """
        self._reads += 1
        if self._reads > self.MOST_READS:
            raise PictureError(f"consists of more than {self.MOST_READS:,} pieces")
        return super().read(size)


class Jpeg(JpegImageFile):
    """A JPEG, or the first of a multi-picture JPEG, whose damaged EXIF does no harm.

    Attributes
    ----------
    planes : int
        Bytes that decoding it at any scale keeps of all of its coefficients: none, but for a
        picture that is sent in several passes (progressive).
    """

    MOST_WORK = 20_000_000_000
    """Pixels times passes: forty passes over the largest picture."""

    planes = 0
    _passes = 0

    def _open(self) -> None:
        super()._open()
        assert self.fp is not None  # or it would not be open
        (components,) = self.fp.read(3)[2:] or (0,)  # of the first pass
        if "progressive" in self.info or components < len(self.layer):
            widest, highest = (max(plane[k] for plane in self.layer) for k in (1, 2))
            shares = sum(plane[1] * plane[2] for plane in self.layer) / (widest * highest)
            self.planes = int(2 * shares * self.width * self.height)
        self._pixels = self.width * self.height

    def load_read(self, read_bytes: int) -> bytes:
        """Return more of the file, unless what was read has too many passes."""
        chunk: bytes = super().load_read(read_bytes)
        self._passes += chunk.count(b"\xff\xda")
        if self._passes * self._pixels > self.MOST_WORK:
            raise PictureError(f"is sent in {self._passes} passes or more, which takes too long")
        return chunk

    def _read_dpi_from_exif(self) -> None:
        """Skip the search for a resolution: Pillow warns of each damaged entry on its way."""


def identify(file: IO[bytes]) -> ImageFile.ImageFile:
    """Return the picture in an open file, not yet decoded.

    Raises
    ------
    PictureError
        If it is in no format that visita reads, or its header is damaged. The message is the
        bare reason.
    MissingExtraError
        If its format needs a library that is not installed.
    """
    prefix = file.read(16)
    reason = "is not a picture in a format that visita reads"
    for name, (opener, accepts) in _openers().items():
        if accepts(prefix) is not True:
            continue
        file.seek(0)
        try:
            return opener(file, "")
        except SyntaxError as error:  # what Pillow's drivers raise for a header they cannot use
            reason = f"is a damaged {name} file: {error}"
        except (IndexError, TypeError, struct.error):  # and where it ends too early
            reason = f"is a damaged {name} file: its header is cut short"
    raise PictureError(reason)


@cache
def _openers() -> dict[str, tuple[Opener, Accepts]]:
    Image.init()
    openers: dict[str, tuple[Opener, Accepts]] = {}
    for name in FORMATS:
        opener, accepts = Image.OPEN[name]
        assert accepts is not None  # true of all FORMATS
        openers[name] = (Jpeg if name == "JPEG" else opener, accepts)
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


def orientation(picture: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8; 1 where there is none or it is damaged.

    It may load the picture. A loaded TIFF's is 1, as Pillow has turned it.
    """
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


RAW = (
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".iiq", ".kdc"),
    *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl"),
    *(".sr2", ".srf", ".srw", ".x3f"),
)
_TURNED = {3: 3, 5: 8, 6: 6}
"""LibRaw's flips as EXIF orientations."""


def is_raw_name(name: str) -> bool:
    """Tell whether a file's name ends like a RAW file's, in any case."""
    return name.lower().endswith(RAW)


def reads_raw() -> bool:
    """Tell whether RAW files can be read here."""
    return find_spec("rawpy") is not None


def preview(path: Path) -> tuple[Image.Image, int]:
    """Return the largest preview in a RAW file, not yet decoded, and its EXIF orientation.

    Raises
    ------
    PictureError
        If there is none, or the file is damaged. The message is the bare reason.
    MissingExtraError
        If rawpy is not installed.
    """
    try:
        import rawpy  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingExtraError("reading RAW pictures", "raw") from error
    try:
        with rawpy.imread(str(path)) as raw:
            thumbnail, turned = raw.extract_thumb(), _TURNED.get(raw.sizes.flip, 1)
    except rawpy.LibRawError as error:
        raise PictureError(f"is a RAW file without a preview that can be read: {error}") from error
    if not isinstance(thumbnail.data, bytes):
        return Image.fromarray(np.asarray(thumbnail.data)), turned
    picture = identify(BytesIO(thumbnail.data))
    own = orientation(picture)  # mostly 1: the RAW file alone says how it is turned
    return picture, own if own > 1 else turned
