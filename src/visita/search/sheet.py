"""A picture of what queries found: for each, its pictures side by side, four a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont, ImageOps

from visita.data.decode import decode
from visita.errors import ConfigError, PictureError
from visita.search.matches import Match

SHOWN = 4
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
HIGHEST = 65_000
"""Pixels; JPEG has no room for more."""
MARGIN, GAP = 56, 20
LABEL, HEAD, ROW = 300, 132, 236
THUMB = (228, 171)
CORNER = 10
FRAME = 5
PAPER, INK, GREY, TRACK = "#fbfaf8", "#1c1f24", "#737a85", "#e4e2dd"
GOOD, BAR = "#15803d", "#3d4654"
Point = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Row:
    """What one query found.

    Attributes
    ----------
    query, remark : str
        What stands at the left, and in small letters below.
    matches : sequence of Match
        The pictures to show, best first.
    expected : str
        Name of the file that should come first; it is framed.
    """

    query: str
    remark: str
    matches: Sequence[Match]
    expected: str = ""

    @property
    def lines(self) -> int:
        """How many lines of pictures it takes; at least one, for the query."""
        return max(1, -(-len(self.matches) // SHOWN))


@dataclass(frozen=True, slots=True)
class Head:
    """What stands above: a title, a line below it, and a word at the right."""

    title: str
    line: str
    right: str = ""


def check_sheet(out: Path) -> None:
    """Refuse, before anything is searched, a name that no sheet can have.

    Raises
    ------
    ConfigError
        If the suffix is none of ``SUFFIXES``, or there is no such folder.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{out} is no name for a picture: end it in {', '.join(SUFFIXES)}.")
    if not out.parent.is_dir() or out.is_dir():
        raise ConfigError(f"{out} cannot be written: name a file in a folder that there is.")


def draw(rows: Sequence[Row], out: Path, head: Head) -> None:
    """Draw each query's pictures with their numbers; an expected one is framed.

    Raises
    ------
    ConfigError
        If ``out`` cannot be written, or would be higher than ``HIGHEST``.
    """
    check_sheet(out)
    width = 2 * MARGIN + LABEL + SHOWN * THUMB[0] + (SHOWN - 1) * GAP
    height = HEAD + ROW * sum(row.lines for row in rows) + MARGIN // 2
    if height > HIGHEST:
        raise ConfigError(f"{out} would be {height:,} pixels high: show fewer matches, by -k.")
    sheet = Image.new("RGB", (width, height), PAPER)
    pen = ImageDraw.Draw(sheet)
    _draw_head(pen, head, width)
    top = HEAD
    for row in rows:
        _draw_label(pen, row, (MARGIN, top))
        for place, match in enumerate(row.matches):
            line, column = divmod(place, SHOWN)
            left = MARGIN + LABEL + column * (THUMB[0] + GAP)
            expected = match.path.name == row.expected
            _draw_match(sheet, match, (left, top + line * ROW), expected)
        top += ROW * row.lines
    try:
        sheet.save(out)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written ({error}): name another file.") from error


def _draw_head(pen: ImageDraw.ImageDraw, head: Head, width: int) -> None:
    pen.text((MARGIN, 34), head.title, INK, _font(34))
    pen.text((MARGIN, 80), head.line, GREY, _font(18))
    pen.text((width - MARGIN, 74), head.right, INK, _font(24), anchor="ra")


def _draw_label(pen: ImageDraw.ImageDraw, row: Row, at: Point) -> None:
    left, top = at
    for line in wrap(f"“{row.query}”", 22, max_lines=5):
        pen.text((left, top + 8), line, INK, _font(24, row.query))
        top += 32
    good = bool(row.expected) and row.matches[0].path.name == row.expected
    pen.text((left, top + 16), row.remark, GOOD if good else GREY, _font(17))


def _draw_match(sheet: Image.Image, match: Match, at: Point, expected: bool) -> None:
    left, top = at
    right, bottom = left + THUMB[0], top + THUMB[1]
    pen = ImageDraw.Draw(sheet)
    if expected:
        edge = (left - FRAME, top - FRAME, right + FRAME - 1, bottom + FRAME - 1)
        pen.rounded_rectangle(edge, CORNER + FRAME, GOOD)
    sheet.paste(_thumb(match.path), at, _rounded())
    if expected:
        _draw_tick(pen, (right - 22, top + 22))
    number = match.score if match.probability is None else match.probability
    line = bottom + 22
    pen.rounded_rectangle((left, line - 3, right - 52, line + 3), 3, TRACK)
    length = round(min(max(number, 0), 1) * (THUMB[0] - 52))
    if length > 6:
        pen.rounded_rectangle((left, line - 3, left + length, line + 3), 3, BAR)
    pen.text((right, line), f"{number:.2f}", INK, _font(18), anchor="rm")


def _draw_tick(pen: ImageDraw.ImageDraw, centre: Point) -> None:
    x, y = centre
    pen.ellipse((x - 14, y - 14, x + 14, y + 14), GOOD, "white", 2)
    pen.line([(x - 6, y), (x - 2, y + 5), (x + 6, y - 5)], "white", 3, joint="curve")


def _thumb(path: Path) -> Image.Image:
    try:
        return ImageOps.fit(decode(path, reduced=True), THUMB, centering=(0.5, 0.25))
    except PictureError:  # deleted or changed since it was found
        return Image.new("RGB", THUMB, TRACK)


def _rounded() -> Image.Image:
    mask = Image.new("L", (4 * THUMB[0], 4 * THUMB[1]))
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, *mask.size), 4 * CORNER, 255)
    return mask.resize(THUMB, Image.Resampling.LANCZOS)


def _font(size: int, text: str = "") -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    """Return Pillow's own font, or where it lacks letters, the wider one of matplotlib."""
    spec = find_spec("matplotlib")
    if text.isascii() or spec is None or spec.origin is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data/fonts/ttf/DejaVuSans.ttf", size)
