"""Picture files to RGB: every common raster format, upright, within limits, never a crash.

A picture is decoded in one of two ways, ``reduced`` or whole. Reduced is several times faster
for large photographs and as good for networks that read few pixels (``docs/results/decoding.md``).
What decoding takes is held to a budget, see ``visita.data.decode``.

How much memory pictures may take while they are decoded, all threads of a process together.

Whoever decodes says beforehand what it will take, and waits until there is room for it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from io import FileIO
from pathlib import Path
from threading import Condition, Lock
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from visita.data.files import open_at_once
from visita.data.formats import BoundedFile, Jpeg, identify, is_raw_name, orientation, preview
from visita.errors import ConfigError, MissingExtraError, PassingError, PictureError
from visita.stages import stage

SETTING = "VISITA_DECODE_MEMORY"
DEFAULT = 600
"""MB, whatever the number of cores."""
MB = 10**6
LARGE = 16 * MB
"""What is given back beyond this is given back to the system too."""


class Budget:
    """So many bytes, lent and given back; thread-safe."""

    def __init__(self, total: int) -> None:
        self.total = self._free = total
        self._turn = Lock()
        self._room = Condition()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Hold ``amount`` bytes while the block runs, waiting until there are so many.

        Never hold twice in one thread: it might wait for itself.

        Raises
        ------
        PassingError
            If there will never be so many. The message is the bare reason.
        """
        if amount > self.total:
            raise PassingError(
                f"takes about {-(-amount // MB):,} MB to decode, more than {self.total // MB:,}: "
                f"set {SETTING} higher to read it (in MB)"
            )
        # Who comes first is served first: else small ones would for ever pass a large one.
        with self._turn, self._room:
            self._room.wait_for(lambda: self._free >= amount)
            self._free -= amount
        try:
            yield
        finally:
            if amount > LARGE:
                _trim()()
            with self._room:
                self._free += amount
                self._room.notify_all()


@cache
def _trim() -> Callable[[], object]:
    """Return what gives freed memory back to the system, where that is not done by itself."""
    # glibc keeps large pieces for the thread that freed them: with many threads, many times over.
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    trim = getattr(library, "malloc_trim", None)
    return (lambda: None) if trim is None else (lambda: trim(0))


@cache
def budget() -> Budget:
    """Return this process's budget, of ``$VISITA_DECODE_MEMORY`` megabytes.

    Raises
    ------
    ConfigError
        If that is no number of megabytes.
    """
    megabytes = os.environ.get(SETTING) or str(DEFAULT)
    if not (megabytes.isascii() and megabytes.isdigit() and int(megabytes)):
        raise ConfigError(
            f"{SETTING} is {megabytes!r}: give a number of megabytes, such as {DEFAULT}."
        )
    return Budget(int(megabytes) * MB)


STRIP = 2**20
"""Pixels converted at once."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def to_rgb(picture: Image.Image, scale: int = 1) -> Image.Image:
    """Return a loaded picture in RGB, ``scale`` x ``scale`` pixels (1, 2, 4 or 8) as their mean.

    Transparency is laid on white and deep greyscale is scaled to 8 bits.
    """
    if picture.mode == "RGB" and not picture.has_transparency_data:
        return picture if scale == 1 else picture.reduce(scale)
    convert = _grey(picture) if _is_deep(picture) else _on_white
    width, height = (-(-edge // scale) for edge in picture.size)
    converted = Image.new("RGB", (width, height))
    for top, strip in _strips(picture):
        part = convert(strip)
        converted.paste(part if scale == 1 else part.reduce(scale), (0, top // scale))
    return converted


def upright(picture: Image.Image, orientation: int) -> Image.Image:
    """Return the picture turned as EXIF's orientation, 1 to 8, says; others leave it as it is."""
    return picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture


def _strips(picture: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    width, height = picture.size
    rows = max(8, STRIP // width // 8 * 8)  # what is made one pixel is never split
    for top in range(0, height, rows):
        yield top, picture.crop((0, top, width, min(top + rows, height)))


def _on_white(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    layer = picture.convert("RGBA")
    paper = Image.new("RGB", layer.size, "white")
    paper.paste(layer, mask=layer.getchannel("A"))
    return paper


def _is_deep(picture: Image.Image) -> bool:
    return picture.mode in ("I", "F") or picture.mode.startswith("I;16")


def _grey(picture: Image.Image) -> Callable[[Image.Image], Image.Image]:
    # 16-bit formats define white as 65535; 32-bit integers and floats define none, so
    # their darkest and brightest finite values become black and white.
    low, high = 0.0, 65535.0
    if not (picture.mode.startswith("I;16") or (picture.mode, picture.format) == ("I", "PPM")):
        low, high = _extremes(picture)

    def convert(strip: Image.Image) -> Image.Image:
        values = _values(strip)
        np.nan_to_num(values, copy=False, nan=low, posinf=high, neginf=low)
        scaled = (values - low) * (255 / (high - low or 1.0))
        return Image.fromarray(np.rint(scaled).clip(0, 255).astype(np.uint8)).convert("RGB")

    return convert


def _extremes(picture: Image.Image) -> tuple[float, float]:
    finite = (v[np.isfinite(v)] for v in (_values(strip) for _, strip in _strips(picture)))
    ranges = [(float(values.min()), float(values.max())) for values in finite if values.size]
    lows, highs = zip(*ranges, strict=True) if ranges else ((0.0,), (0.0,))
    return min(lows), max(highs)


def _values(strip: Image.Image) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):  # numpy warns of signalling NaNs in a cast
        return np.array(strip, dtype=np.float64)


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
    with ExitStack() as held, stage("decode"):
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
            upright_picture = upright(pixels, turned)
            upright_picture.info.clear()  # lest anyone turn it again
            return upright_picture
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
