"""Picture files to RGB: every common raster format, upright, within limits, never a crash.

A picture is decoded in one of two ways, ``reduced`` or whole. Reduced is several times faster
for large photographs and as good for networks that read few pixels (``docs/results/decoding.md``).
What decoding takes is held to a budget, see ``visita.data.budget``.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import FileIO
from pathlib import Path
from typing import IO

from PIL import Image

from visita.data.budget import budget
from visita.data.formats import BoundedFile, Jpeg, identify, orientation
from visita.data.raw import is_raw_name, preview
from visita.data.reading import open_at_once
from visita.data.rgb import to_rgb, upright
from visita.errors import ConfigError, MissingExtraError, PassingError, PictureError

REDUCED = 520
"""Pixels of the shorter edge that a reduced picture keeps at least, if it had them: twice the side
of what the largest of visita's own networks reads."""
MOST_PIXELS = 500_000_000
MOST_BYTES = 512 * 2**20
MOST_PIECES = 100_000
"""Strips or tiles, which are decoded one by one."""
WHOLE = 64_000_000
"""Pixels of a JPEG beyond which it is reduced in any case, turned or not within the budget."""

_SOURCE = {"1": 1, "L": 1, "P": 1, "I;16": 2}
"""Bytes a pixel of Pillow's modes; the others have 4."""
_WORKING = {"WEBP": 15, "AVIF": 10, "HEIF": 10, "JPEG2000": 21}
"""Bytes a pixel, as measured, that a format's decoder takes besides; the others take lines."""
_PASSING = {errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT}
"""Errors that say nothing of a file's content, and that may be gone the next time."""


def decode(path: Path, *, reduced: bool = False) -> Image.Image:
    """Return the picture in ``path`` (its first frame) in RGB, turned upright.

    Transparency is laid on white and deep greyscale is scaled to 8 bits. Of a RAW file it is the
    embedded preview. Safe to call from several threads.

    Parameters
    ----------
    reduced
        A large picture comes back at 1/2, 1/4 or 1/8 of its size, the smallest that leaves
        ``REDUCED`` pixels along the shorter edge. A JPEG of more than ``WHOLE`` pixels comes
        reduced to at most these anyway.

    Raises
    ------
    PassingError
        If it cannot be read now: the disk failed, or memory is too small for it.
    PictureError
        If it cannot be decoded, or exceeds ``MOST_BYTES`` or ``MOST_PIXELS``. The message is
        the bare reason, for use beside the file's name.
    ConfigError
        If the budget of memory is set to nonsense.
    """
    with ExitStack() as held:
        return _decoded(path, reduced, held)


@contextmanager
def decoding(path: Path, *, reduced: bool = False) -> Iterator[Image.Image]:
    """Lend what ``decode`` returns, its memory held within the budget until the block ends.

    It is closed then. Do not decode another inside the block: it might wait for this one.
    """
    with ExitStack() as held:
        picture = _decoded(path, reduced, held)
        held.callback(picture.close)
        yield picture


def _decoded(path: Path, reduced: bool, held: ExitStack) -> Image.Image:
    try:
        with BoundedFile(FileIO(path, opener=open_at_once)) as file:
            _check_file(os.fstat(file.fileno()))
            picture, turned = _opened(file, path)
            _check_pixels(*picture.size)
            _check_pieces(picture)
            scale = _scale(picture, reduced)
            held.enter_context(budget().hold(_memory(picture, scale)))
            if scale > 1 and isinstance(picture, Jpeg):
                picture.draft(None, (picture.width // scale, picture.height // scale))
                scale = 1
            picture.load()
            pixels = to_rgb(picture, scale)
            turned = orientation(picture) if turned is None else turned
            found = upright(pixels, turned)
            found.info.clear()  # lest anyone turn it again
            return found
    except (PictureError, ConfigError):
        raise
    except MissingExtraError as error:
        raise PictureError(str(error)) from error
    except MemoryError as error:
        raise PassingError("cannot be decoded: memory is too small for it now") from error
    except OSError as error:
        raise _refusal("cannot be read", error) from error
    except Exception as error:  # decoders of damaged files raise nearly anything
        raise _refusal("cannot be decoded", error) from error


def _refusal(what: str, error: Exception) -> PictureError:
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    # Decoders say in words that they had no memory.
    passing = getattr(error, "errno", None) in _PASSING or "memory" in words.lower()
    return (PassingError if passing else PictureError)(f"{what}: {words}")


def _check_file(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("is not a regular file")
    if status.st_size == 0:
        raise PictureError("is empty")
    if status.st_size > MOST_BYTES:
        raise PictureError(f"is larger than {MOST_BYTES // 2**20} MiB")


def _opened(file: IO[bytes], path: Path) -> tuple[Image.Image, int | None]:
    """Return the picture in a file, and how it is turned if it does not say so itself."""
    return preview(path) if is_raw_name(path.name) else (identify(file), None)


def _check_pixels(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise PictureError(
            f"has {width} x {height} pixels; the limit is {MOST_PIXELS // 10**6} million"
        )


def _check_pieces(picture: Image.Image) -> None:
    if len(getattr(picture, "tile", ())) > MOST_PIECES:
        raise PictureError(f"consists of more than {MOST_PIECES:,} pieces")


def _scale(picture: Image.Image, reduced: bool) -> int:
    """Return what both edges are divided by: 1, 2, 4 or 8."""
    width, height = picture.size
    if reduced:
        return next((s for s in (8, 4, 2) if min(width, height) >= s * REDUCED), 1)
    if isinstance(picture, Jpeg):
        return next(s for s in (1, 2, 4) if width * height <= s * s * WHOLE)
    return 1


def _memory(picture: Image.Image, scale: int) -> int:
    """Return about how many bytes decoding takes at most."""
    stored = picture.width * picture.height
    result = 4 * stored // scale**2
    copies = (picture.mode != "RGB" or picture.has_transparency_data) + ("exif" in picture.info)
    if isinstance(picture, Jpeg):
        return picture.planes + result * (1 + copies)
    source = _SOURCE.get(picture.mode[:4], 4) + _WORKING.get(picture.format or "", 0)
    if picture.format == "TIFF":
        source *= 2  # a strip may hold all of it
    return source * stored + result * (copies + (scale > 1))
