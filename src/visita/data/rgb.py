"""Pixels of any mode to RGB, strip by strip, so that no second large picture is made on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
    whole = Image.new("RGB", (width, height))
    for top, strip in _strips(picture):
        part = convert(strip)
        whole.paste(part if scale == 1 else part.reduce(scale), (0, top // scale))
    return whole


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
    found = [(float(values.min()), float(values.max())) for values in finite if values.size]
    lows, highs = zip(*found, strict=True) if found else ((0.0,), (0.0,))
    return min(lows), max(highs)


def _values(strip: Image.Image) -> NDArray[Any]:
    with np.errstate(invalid="ignore"):  # numpy warns of signalling NaNs in a cast
        return np.array(strip, dtype=np.float64)
