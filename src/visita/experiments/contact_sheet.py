"""A picture of what queries found: a row a query, with its first pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont, ImageOps

from visita.data.decode import decode
from visita.errors import ConfigError
from visita.experiments.demo import Answer
from visita.search.search import Match

SHOWN = 4
MARGIN, GAP = 56, 20
LABEL, HEAD, ROW = 300, 132, 236
THUMB = (228, 171)
CORNER = 10
FRAME = 5

PAPER, INK, GREY, TRACK = "#fbfaf8", "#1c1f24", "#737a85", "#e4e2dd"
GOOD, BAR = "#15803d", "#3d4654"

Point = tuple[int, int]


def draw(answers: Sequence[Answer], out: Path) -> None:
    """Draw each query's first pictures with their probabilities; the expected one is framed.

    Raises
    ------
    ConfigError
        If ``out`` cannot be written, or its suffix is no picture format.
    """
    width = 2 * MARGIN + LABEL + SHOWN * THUMB[0] + (SHOWN - 1) * GAP
    sheet = Image.new("RGB", (width, HEAD + ROW * len(answers) + MARGIN // 2), PAPER)
    pen = ImageDraw.Draw(sheet)
    _draw_head(pen, answers, width)
    for number, answer in enumerate(answers):
        top = HEAD + ROW * number
        _draw_label(pen, answer, (MARGIN, top))
        for place, match in enumerate(answer.matches[:SHOWN]):
            left = MARGIN + LABEL + place * (THUMB[0] + GAP)
            _draw_match(sheet, match, (left, top), Path(match.path).name == answer.expected)
    try:
        sheet.save(out)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{out} cannot be written ({error}): name another .png file.") from error


def _draw_head(pen: ImageDraw.ImageDraw, answers: Sequence[Answer], width: int) -> None:
    first = sum(answer.rank == 1 for answer in answers)
    pictures = len(answers[0].matches)
    pen.text((MARGIN, 34), "visita demo", INK, _font(34))
    told = f"{len(answers)} queries, {pictures} pictures, and the probability of each match"
    pen.text((MARGIN, 80), told, GREY, _font(18))
    pen.text((width - MARGIN, 74), f"first {first} of {len(answers)}", INK, _font(24), anchor="ra")


def _draw_label(pen: ImageDraw.ImageDraw, answer: Answer, at: Point) -> None:
    left, top = at
    for line in wrap(f"“{answer.query}”", 22):
        pen.text((left, top + 8), line, INK, _font(24))
        top += 32
    first = answer.rank == 1
    told = "found first" if first else f"found at rank {answer.rank}"
    pen.text((left, top + 16), told, GOOD if first else GREY, _font(17))


def _draw_match(sheet: Image.Image, match: Match, at: Point, expected: bool) -> None:
    left, top = at
    right, bottom = left + THUMB[0], top + THUMB[1]
    pen = ImageDraw.Draw(sheet)
    if expected:
        edge = (left - FRAME, top - FRAME, right + FRAME - 1, bottom + FRAME - 1)
        pen.rounded_rectangle(edge, CORNER + FRAME, GOOD)
    whole = decode(Path(match.path), reduced=True)
    sheet.paste(ImageOps.fit(whole, THUMB, centering=(0.5, 0.25)), at, _rounded())
    if expected:
        _draw_tick(pen, (right - 22, top + 22))
    number = match.score if match.probability is None else match.probability
    line = bottom + 22
    pen.rounded_rectangle((left, line - 3, right - 52, line + 3), 3, TRACK)
    length = round(max(number, 0) * (THUMB[0] - 52))
    if length > 6:
        pen.rounded_rectangle((left, line - 3, left + length, line + 3), 3, BAR)
    pen.text((right, line), f"{number:.2f}", INK, _font(18), anchor="rm")


def _draw_tick(pen: ImageDraw.ImageDraw, centre: Point) -> None:
    x, y = centre
    pen.ellipse((x - 14, y - 14, x + 14, y + 14), GOOD, "white", 2)
    pen.line([(x - 6, y), (x - 2, y + 5), (x + 6, y - 5)], "white", 3, joint="curve")


def _rounded() -> Image.Image:
    mask = Image.new("L", (4 * THUMB[0], 4 * THUMB[1]))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *mask.size), 4 * CORNER, 255)
    return mask.resize(THUMB, Image.Resampling.LANCZOS)


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)
