"""An explanation as one HTML page that opens without a network."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image, ImageOps

from visita.errors import ConfigError
from visita.experiments.explanation import Explanation
from visita.experiments.explanation_sheet import (
    legend,
    shown,
    strongest,
    tint,
    words_note,
)
from visita.types import FloatArray

SIZE = (900, 900)
"""Pixels that the picture fits into."""


def write_page(explanation: Explanation, picture: Image.Image, out: Path) -> None:
    """Write an explanation of the picture as HTML, the picture inside.

    Raises
    ------
    ConfigError
        If ``out`` cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("visita.experiments.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["signed"] = signed
    kernels = shown(explanation.kernels)
    maps = [word.heat for word in explanation.words]
    page = environment.get_template("explanation.html.j2").render(
        explanation=explanation,
        legend=legend(),
        words_note=words_note(explanation),
        picture=_jpeg(picture),
        width=picture.width,
        height=picture.height,
        sentence=_covers([explanation.heat])[0],
        words=list(zip(explanation.words, _covers(maps), strict=True)),
        kernels=kernels,
        largest=max(abs(one.adds) for one in kernels) or 1.0,
    )
    try:
        out.write_text(page, "utf-8", errors="backslashreplace")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error}): name another .html file.") from error


def signed(value: float) -> str:
    """Return a number with its sign, a true minus."""
    return f"{value:+.3f}".replace("-", "−")


def _covers(maps: Sequence[FloatArray]) -> list[str]:
    """Return each map as a tiny picture to lay over the large one, on one scale."""
    scale = strongest(np.stack(maps))
    return [_uri(tint(heat, scale), "PNG") for heat in maps]


def _jpeg(picture: Image.Image) -> str:
    small = ImageOps.contain(picture, SIZE) if max(picture.size) > max(SIZE) else picture
    return _uri(small.convert("RGB"), "JPEG")


def _uri(picture: Image.Image, kind: str) -> str:
    out = BytesIO()
    picture.save(out, kind, quality=85)
    return f"data:image/{kind.lower()};base64,{base64.b64encode(out.getvalue()).decode()}"
