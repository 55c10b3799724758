"""Curves, bars and points as SVG, drawn small so that they can be read on a telephone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np

from visita.evaluation.intervals import Estimate
from visita.report.content import Bars, Curves, Scatter

INK, GREY, RULE = "#1c1f24", "#6b7280", "#dedbd4"
COLOURS = ("#b3aca0", "#857d70", "#4a4f58", "#7ba0c4", "#1d4e89")
STYLES = (":", "--", "-.", "--", "-")
WIDTH = 4.7
"""Inches; 338 points, at a text size of 8.5."""
FORMATS = (".png", ".svg", ".pdf")
LINES = 15
"""Labels one above the other that a figure of the usual height has room for."""
LABEL = 36
"""Letters of a label; longer names are cut, as the numbers need their room."""


def draw(figure: Curves | Bars | Scatter) -> str:
    """Return one ``<svg>`` element, with its text as text."""
    out = StringIO()
    with _style():
        _drawn(figure).savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    svg = out.getvalue()
    return svg[svg.index("<svg") :]


def save_bars(bars: Bars, path: Path) -> None:
    """Write bars into a file of one of ``FORMATS``, on white."""
    with _style():
        _drawn(bars).savefig(path, dpi=200, facecolor="white")


def _drawn(figure: Curves | Bars | Scatter) -> Any:
    if isinstance(figure, Scatter):
        return _scatter(figure)
    return _curves(figure) if isinstance(figure, Curves) else _bars(figure)


@contextmanager
def _style() -> Iterator[None]:
    import matplotlib as mpl  # noqa: PLC0415 - slow to import, needed once a run

    changed: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "visita",
        "font.size": 8.5,
        "text.parse_math": False,
        "text.color": INK,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
    }
    with mpl.rc_context(changed):
        yield


def _short(name: str) -> str:
    return name if len(name) <= LABEL else f"{name[: LABEL - 1]}…"


def _axes(height: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _curves(curves: Curves) -> Any:
    figure, axes = _axes(3.4)
    ends = _spread([line[-1].value for line in curves.lines.values()], _top(curves) / 18)
    # The last line is the strongest, however few there are.
    for number, (name, line) in enumerate(curves.lines.items(), -len(curves.lines)):
        colour, style = COLOURS[number % len(COLOURS)], STYLES[number % len(STYLES)]
        x = np.arange(1, len(line) + 1)
        axes.plot(x, [point.value for point in line], style, color=colour, linewidth=1.6)
        low, high = [point.low for point in line], [point.high for point in line]
        axes.fill_between(x, low, high, color=colour, alpha=0.13, linewidth=0)
        # A leader in the line's own style, so that the label needs no key.
        end = len(line) + (len(line) - 1) * np.array([0, 0.03, 0.08])
        heights = [line[-1].value, ends[number], ends[number]]
        axes.plot(end, heights, style, color=colour, linewidth=1.2, clip_on=False)
        axes.annotate(
            _short(name),
            (end[-1], ends[number]),
            (3, 0),
            textcoords="offset points",
            va="center",
            annotation_clip=False,
        )
    points = curves.points()
    axes.set_xticks(range(1, len(points) + 1), points)
    axes.set_xlim(1, len(points))
    axes.set_ylim(0, _top(curves))
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_xlabel(curves.x_label)
    axes.set_ylabel(curves.y_label)
    return figure


def _top(curves: Curves) -> float:
    highest = max(point.high for line in curves.lines.values() for point in line)
    return max(1.0, 1.04 * highest)


def _spread(values: Sequence[float], gap: float) -> list[float]:
    """Return the values, moved down where labels at them would overlap."""
    spread, limit = list(values), np.inf
    for place in np.argsort(values)[::-1]:
        limit = spread[place] = min(spread[place], limit - gap)
    return spread


def _bars(bars: Bars) -> Any:
    figure, axes = _axes(0.5 + 0.34 * len(bars.bars))
    for place, estimate in enumerate(bars.bars.values()):
        best = estimate.value == max(bar.value for bar in bars.bars.values())
        axes.barh(place, estimate.value, 0.55, color=COLOURS[3] if best else RULE)
        _whisker(axes, place, estimate)
        axes.annotate(
            f"{estimate.value:.1f}",
            (estimate.high, place),
            (4, 0),
            va="center",
            textcoords="offset points",
        )
    axes.set_yticks(range(len(bars.bars)), map(_short, bars.bars), color=INK)
    axes.tick_params("y", length=0)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel(bars.x_label)
    return figure


def _whisker(axes: Any, place: float, estimate: Estimate) -> None:
    axes.plot([estimate.low, estimate.high], [place, place], color=INK, linewidth=1)
    for end in (estimate.low, estimate.high):
        axes.plot([end, end], [place - 0.12, place + 0.12], color=INK, linewidth=1)


def _scatter(scatter: Scatter) -> Any:
    from matplotlib.ticker import LogLocator, NullLocator  # noqa: PLC0415

    names = sorted(scatter.points, key=lambda name: scatter.points[name][1].value)
    costs = [scatter.points[name][0] for name in names]
    figure, axes = _axes(max(3.4, 0.9 + 0.2 * len(names)))
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = min(costs) / 1.4, max(costs) * 1.4
    axes.set_xlim(low, high)
    values = [scatter.points[name][1] for name in names]
    bottom, top = (
        min(estimate.low for estimate in values),
        max(estimate.high for estimate in values),
    )
    room = max(top - bottom, 1.0) * 0.06
    axes.set_ylim(bottom - room, top + room)
    front = scatter.front()
    axes.step(
        [scatter.points[name][0] for name in front],
        [scatter.points[name][1].value for name in front],
        where="post",
        color=COLOURS[3],
        linewidth=1.0,
    )
    lines = max(len(names), LINES)
    gap = (top - bottom + 2 * room) / lines
    heights = _spread([estimate.value for estimate in values], gap)
    # Those that were pushed out below push the others up again.
    heights = [-height for height in _spread([-max(height, bottom) for height in heights], gap)]
    side = axes.get_yaxis_transform()  # across the axes in shares, upwards in data
    for name, cost, estimate, height in zip(names, costs, values, heights, strict=True):
        colour = COLOURS[4] if name in front else COLOURS[0]
        axes.plot([cost, cost], [estimate.low, estimate.high], color=colour, linewidth=1)
        axes.plot(cost, estimate.value, "o", color=colour, markersize=4.5)
        axes.plot([cost, high], [estimate.value, height], color=RULE, linewidth=0.6, zorder=0)
        axes.annotate(
            _short(name),
            (1.0, height),
            (3, 0),
            xycoords=side,
            textcoords="offset points",
            va="center",
            color=INK if name in front else GREY,
            annotation_clip=False,
        )
    axes.grid(axis="y", color=RULE, linewidth=0.6)
    axes.set_xlabel(scatter.x_label)
    axes.set_ylabel(scatter.y_label)
    return figure
