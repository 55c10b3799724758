"""An explanation as one HTML page that opens without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

from visita.data.thumbnails import picture_uri
from visita.errors import ConfigError
from visita.search.explain import Explanation, Kernel
from visita.search.sheet import BAR, GREY, INK, PAPER, TRACK
from visita.types import FloatArray


def write_page(explanation: Explanation, out: Path) -> None:
    """Write an explanation as HTML, the picture inside.

    Raises
    ------
    ConfigError
        If ``out`` cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("visita.report"),
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
        largest=max(abs(kernel.adds) for kernel in kernels) or 1.0,
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


FOR, AGAINST = (214, 40, 30), (38, 92, 190)
"""What speaks for the text, and what against it."""
STRONGEST = 0.72
"""Opacity of the hottest cell."""
WIDTH, MARGIN, GAP = 1240, 56, 24
LARGE, THUMB = (520, 520), (208, 208)
COLUMNS = 5
KERNELS = 16
"""As many as have room beside the picture; the rest is one bar."""
LINE, BAR_LEFT, BAR_WIDTH = 29, 250, 210
Point = tuple[int, int]


def draw(explanation: Explanation, out: Path) -> None:
    """Draw an explanation into a file.

    Raises
    ------
    ConfigError
        If ``out`` cannot be written, or its suffix is no picture format.
    """
    try:
        sheet(explanation).save(out)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{out} cannot be written ({error}): name another .png file.") from error


def sheet(explanation: Explanation) -> Image.Image:
    """Return an explanation drawn: heat over the picture, words and kernels."""
    picture = explanation.picture
    title = wrap(f"“{explanation.text}”", 72)
    top = MARGIN + 40 * len(title) + 56
    large = heated(picture, explanation.heat, strongest(explanation.heat), LARGE)
    rows = -(-len(explanation.words) // COLUMNS)
    thumb = ImageOps.contain(picture, THUMB)
    row = thumb.height + 52
    kernels = shown(explanation.kernels)
    below = top + max(large.height + 30, LINE * (len(kernels) + 1)) + 84
    drawn = Image.new("RGB", (WIDTH, below + row * rows + MARGIN), PAPER)
    pen = ImageDraw.Draw(drawn)
    for number, line in enumerate(title):
        pen.text((MARGIN, MARGIN + 40 * number), line, INK, _font(30))
    pen.text((MARGIN, top - 50), str(explanation.pair), GREY, _font(20))
    drawn.paste(large, (MARGIN, top))
    pen.text((MARGIN, top + large.height + 10), legend(), GREY, _font(16))
    _draw_kernels(pen, kernels, (MARGIN + LARGE[0] + 2 * GAP, top))
    pen.text((MARGIN, below - 36), words_note(explanation), GREY, _font(16))
    scale = strongest(np.stack([word.heat for word in explanation.words]))
    for number, word in enumerate(explanation.words):
        left = MARGIN + number % COLUMNS * (THUMB[0] + GAP)
        at = below + number // COLUMNS * row
        drawn.paste(heated(picture, word.heat, scale, THUMB), (left, at))
        name = word.text if len(word.text) <= 14 else f"{word.text[:13]}…"
        pen.text((left, at + thumb.height + 8), name, INK, _font(18))
        effect, right = f"{word.effect:+.3f}", left + THUMB[0]
        pen.text((right, at + thumb.height + 10), effect, GREY, _font(16), anchor="ra")
    return drawn


def heated(
    picture: Image.Image, heat: FloatArray, scale: float, within: tuple[int, int]
) -> Image.Image:
    """Return the picture, shrunk to fit, paler and with heat laid over it."""
    small = ImageEnhance.Color(ImageOps.contain(picture, within)).enhance(0.3)
    cover = tint(heat, scale).resize(small.size, Image.Resampling.BICUBIC)
    return Image.alpha_composite(small.convert("RGBA"), cover).convert("RGB")


def tint(heat: FloatArray, scale: float) -> Image.Image:
    """Return heat (5, 5) as a picture of as many pixels: red where above 0, blue where below."""
    alpha = np.clip(np.abs(heat) / scale, 0, 1) * (255 * STRONGEST)
    colours = np.where(heat[..., None] > 0, FOR, AGAINST)
    pixels = np.concatenate([colours, np.rint(alpha)[..., None]], axis=2)
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def strongest(heat: FloatArray) -> float:
    """Return the largest heat or cold, which is drawn as the full colour."""
    return max(float(np.abs(heat).max()), 1e-6)


def shown(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Return the kernels that add most, and the sum of the others as one."""
    ordered = sorted(kernels, key=lambda kernel: -abs(kernel.adds))
    first, rest = ordered[:KERNELS], ordered[KERNELS:]
    if not rest:
        return first
    weight, adds = sum(kernel.weight for kernel in rest), sum(kernel.adds for kernel in rest)
    return [*first, Kernel(f"{len(rest)} more", weight, adds)]


def legend() -> str:
    """Return what the colours over the picture mean."""
    return "red: the score falls when the cell is hidden; blue: it rises"


def words_note(explanation: Explanation) -> str:
    """Return what the maps of the words mean."""
    if explanation.words_by == "attention":
        maps = "what the word and the cell add to the score together, by attention"
    else:
        maps = "how much less the word adds to the score when the cell is hidden"
    return f"each word: {maps}; the number: by how much the score falls without it"


def _draw_kernels(pen: ImageDraw.ImageDraw, kernels: Sequence[Kernel], at: Point) -> None:
    left, top = at
    bars = left + BAR_LEFT
    pen.text((left, top), "kernel", GREY, _font(16))
    pen.text((bars - 16, top), "weight", GREY, _font(16), anchor="ra")
    pen.text((bars, top), "adds to the score", GREY, _font(16))
    largest = max(abs(kernel.adds) for kernel in kernels)
    for number, kernel in enumerate(kernels, 1):
        y = top + LINE * number
        pen.text((left, y), kernel.name[:26], INK, _font(17))
        pen.text((bars - 16, y), f"{kernel.weight:.3f}", GREY, _font(16), anchor="ra")
        length = round(BAR_WIDTH * abs(kernel.adds) / max(largest, 1e-6))
        pen.rectangle((bars, y + 5, bars + BAR_WIDTH, y + 15), TRACK)
        pen.rectangle((bars, y + 5, bars + length, y + 15), BAR if kernel.adds >= 0 else AGAINST)
        pen.text((bars + BAR_WIDTH + 12, y), f"{kernel.adds:+.3f}", INK, _font(16))


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
