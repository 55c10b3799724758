"""RAW files of cameras: the preview that the camera made and put inside; by LibRaw, an extra."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from visita.data.formats import identify, orientation
from visita.errors import MissingExtraError, PictureError

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
            found, turned = raw.extract_thumb(), _TURNED.get(raw.sizes.flip, 1)
    except rawpy.LibRawError as error:
        raise PictureError(f"is a RAW file without a preview that can be read: {error}") from error
    if not isinstance(found.data, bytes):
        return Image.fromarray(np.asarray(found.data)), turned
    picture = identify(BytesIO(found.data))
    own = orientation(picture)  # mostly 1: the RAW file alone says how it is turned
    return picture, own if own > 1 else turned
