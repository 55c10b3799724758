"""An explanation as one HTML page that opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from visita.data.thumbnails import picture_uri
from visita.errors import ConfigError
from visita.experiments.explanation import Explanation
from visita.experiments.explanation_sheet import legend, shown, strongest, tint, words_note
from visita.types import FloatArray


def write_page(explanation: Explanation, out: Path) -> None:
    """Write an explanation as HTML, the picture inside.

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
        picture=picture_uri(explanation.picture),
        width=explanation.picture.width,
        height=explanation.picture.height,
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
    return [picture_uri(tint(heat, scale), "PNG") for heat in maps]
