"""Writing a report: HTML that opens without a network, the same as Markdown and as JSON."""

from __future__ import annotations

import base64
import html
import re
from io import BytesIO
from itertools import groupby
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import ImageOps

from visita.artifact import json_text
from visita.data.decode import decode
from visita.errors import PictureError
from visita.report.content import Bars, Column, Curves, Report, Row, Scatter, Sheet, Table
from visita.report.figures import draw

THUMB = (300, 200)
"""Pixels that a picture fits into; shown at half the size, sharp on fine screens."""


def write_report(report: Report, folder: Path) -> None:
    """Write ``report.html``, ``report.md`` and ``report.json`` into ``folder``.

    Only the HTML has pictures and texts of queries; the others hold ids and numbers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _put(folder / "report.json", json_text(report.to_dict(), indent=1) + "\n")
    for name, escape in (("html", True), ("md", False)):
        template = _environment(escape).get_template(f"report.{name}.j2")
        _put(folder / f"report.{name}", template.render(report=report))


def _put(path: Path, text: str) -> None:
    # A file's name may hold bytes that are no text; they are shown as escapes.
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, "utf-8", errors="backslashreplace")
    draft.replace(path)


def _environment(escape: bool) -> Environment:
    environment = Environment(
        loader=PackageLoader("visita.report"),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "signed": signed,
        "probability": probability,
        "plain": plain,
        "thumbnail": thumbnail,
        "drawing": lambda figure: Markup(draw(figure)),
        "headings": headings,
        "as_table": as_table,
    }
    environment.tests["table"] = lambda part: isinstance(part, Table)
    environment.tests["sheet"] = lambda part: isinstance(part, Sheet)
    return environment


def number(value: float) -> str:
    """Return the number with one decimal and a true minus."""
    return f"{value:.1f}".replace("-", "−")


def signed(value: float) -> str:
    """Return the number with one decimal and its sign."""
    return f"{value:+.1f}".replace("-", "−")


def probability(value: float) -> str:
    """Return a p-value in as many digits as tell anything."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def plain(text: str) -> str:
    """Return ``text`` as one line that Markdown shows as it is."""
    line = html.escape(" ".join(text.split()), quote=False)
    return re.sub(r"([\\`*_\[\]|~#])", r"\\\1", line)


def thumbnail(path: Path) -> str | None:
    """Return the picture as a small JPEG in a data URI, None if it cannot be read any more."""
    try:
        picture = ImageOps.contain(decode(path, reduced=True), THUMB)
    except PictureError:
        return None
    out = BytesIO()
    picture.save(out, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(out.getvalue()).decode()}"


def headings(columns: tuple[Column, ...]) -> list[tuple[str, int]]:
    """Return each group's name and how many columns it spans."""
    return [(name, len(list(group))) for name, group in groupby(columns, lambda c: c.group)]


def as_table(figure: Curves | Bars | Scatter) -> Table | Sheet:
    """Return the numbers of a figure, for where nothing can be drawn."""
    if isinstance(figure, Scatter):
        return _as_sheet(figure)
    columns: tuple[Column, ...] = (Column("", figure.x_label),)
    if isinstance(figure, Bars):
        rows = [Row(name, (bar,)) for name, bar in figure.bars.items()]
    else:
        columns = tuple(Column(figure.x_label, point) for point in figure.points())
        rows = [Row(name, tuple(line)) for name, line in figure.lines.items()]
    return Table(figure.title, figure.note, columns, tuple(rows))


def _as_sheet(scatter: Scatter) -> Sheet:
    front = scatter.front()
    rows = {
        name: (f"{cost:,.3g}", number(good.value), "yes" if name in front else "")
        for name, (cost, good) in sorted(scatter.points.items(), key=lambda point: point[1][0])
    }
    columns = (scatter.x_label, scatter.y_label, "in the Pareto set")
    return Sheet(scatter.title, scatter.note, columns, rows)
