"""What a report holds: records of plain values, whoever fills them; how it is made again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from shlex import join
from typing import Any

from visita.brief import brief, counted
from visita.data.pairs import PairSet
from visita.evaluation.intervals import Estimate
from visita.report.claims import Verdict
from visita.types import Skipped


@dataclass(frozen=True)
class Column:
    """A column of numbers; neighbours of one group share its heading."""

    group: str
    name: str


@dataclass(frozen=True)
class Row:
    """A system and its number in each column, None where it was not measured."""

    name: str
    cells: tuple[Estimate | None, ...]


@dataclass(frozen=True)
class Table:
    """Numbers with intervals, higher is better; ``note`` says what and of how many."""

    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def best(self, column: int) -> float | None:
        """Return the highest value of a column, None if it is empty or all rows have the same."""
        values = [cell.value for row in self.rows if (cell := row.cells[column])]
        if len(values) == len(self.rows) and len(set(values)) == 1:
            return None
        return max(values, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the table as JSON values."""
        columns = [{"group": c.group, "name": c.name} for c in self.columns]
        rows = [{"name": r.name, "cells": [_numbers(c) for c in r.cells]} for r in self.rows]
        return _headed(self, columns=columns, rows=rows)


@dataclass(frozen=True)
class Sheet:
    """Facts in columns, as text: what has no interval."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]

    def to_dict(self) -> dict[str, Any]:
        """Return the sheet as JSON values."""
        rows = {name: dict(zip(self.columns, row, strict=True)) for name, row in self.rows.items()}
        return _headed(self, rows=rows)


@dataclass(frozen=True)
class Scatter:
    """What each system costs, lower being better, and how good it is, higher being better."""

    title: str
    note: str
    x_label: str
    y_label: str
    points: Mapping[str, tuple[float, Estimate]]

    def front(self) -> tuple[str, ...]:
        """Return the Pareto set, cheapest first: no other is as good for less, or better for it."""
        names: list[str] = []
        best = -math.inf
        by_cost = sorted(self.points, key=lambda n: (self.points[n][0], -self.points[n][1].value))
        for name in by_cost:
            if (value := self.points[name][1].value) > best:
                names.append(name)
                best = value
        return tuple(names)

    def to_dict(self) -> dict[str, Any]:
        """Return the points as JSON values."""
        points = {
            name: {"x": cost, "y": good.to_dict()} for name, (cost, good) in self.points.items()
        }
        front = list(self.front())
        return _headed(self, x=self.x_label, y=self.y_label, points=points, front=front)


@dataclass(frozen=True)
class Curves:
    """Lines: an estimate a point.

    ``ticks`` names the points, evenly spaced; without, they are 1, 2, ….
    """

    title: str
    note: str
    x_label: str
    y_label: str
    lines: Mapping[str, Sequence[Estimate]]
    ticks: tuple[str, ...] = ()

    def points(self) -> tuple[str, ...]:
        """Return what each point is called."""
        return self.ticks or tuple(map(str, range(1, 1 + max(map(len, self.lines.values())))))

    def to_dict(self) -> dict[str, Any]:
        """Return the curves as JSON values."""
        lines = {name: [_numbers(point) for point in line] for name, line in self.lines.items()}
        points = list(self.points())
        return _headed(self, x=self.x_label, y=self.y_label, points=points, lines=lines)


@dataclass(frozen=True)
class Bars:
    """One bar a name, with its interval."""

    title: str
    note: str
    x_label: str
    bars: Mapping[str, Estimate]

    def to_dict(self) -> dict[str, Any]:
        """Return the bars as JSON values."""
        bars = {name: _numbers(bar) for name, bar in self.bars.items()}
        return _headed(self, x=self.x_label, bars=bars)


@dataclass(frozen=True)
class Picture:
    """A picture in an example: ``right`` if it belongs to the query."""

    id: str
    path: Path
    right: bool


@dataclass(frozen=True)
class Example:
    """A query, what is to be said about it, and its pictures, best first.

    ``id`` stands for the query in what may be published; ``text`` is shown beside pictures only.
    """

    id: str
    text: str
    note: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Examples:
    """Examples of one kind, such as the worst."""

    title: str
    note: str
    examples: tuple[Example, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return ids and remarks as JSON values, neither texts nor files."""
        shown = [
            {
                "query": example.id,
                "note": example.note,
                "pictures": [{"id": p.id, "right": p.right} for p in example.pictures],
            }
            for example in self.examples
        ]
        return _headed(self, examples=shown)


@dataclass(frozen=True, repr=False)
class Report:
    """A whole report.

    Attributes
    ----------
    title : str
    lead : tuple of str
        Paragraphs.
    warnings : tuple of str
        What a reader must know before believing the numbers.
    verdicts, verdicts_title, verdicts_note
        The claims, what they are called, and how they were tested.
    parts : tuple
        Tables and figures, in order.
    examples : tuple of Examples
    failed : tuple of Skipped
        Parts that could not be computed.
    setting : mapping
        What ran, a line each.
    command : str
        How to run it again.
    """

    title: str
    lead: tuple[str, ...]
    setting: Mapping[str, str]
    command: str
    parts: tuple[Table | Sheet | Curves | Bars | Scatter, ...]
    verdicts: tuple[Verdict, ...] = ()
    verdicts_title: str = "The paper’s claims"
    verdicts_note: str = ""
    examples: tuple[Examples, ...] = ()
    warnings: tuple[str, ...] = ()
    failed: tuple[Skipped, ...] = ()

    def __repr__(self) -> str:
        """Return its title and how much it holds, in one line."""
        counts = f"{len(self.parts)} tables and figures, {counted(len(self.verdicts), 'claim')}"
        return f"<Report {brief(self.title)}: {counts}, {len(self.failed)} failed>"

    def to_dict(self) -> dict[str, Any]:
        """Return everything but pictures and texts as JSON values."""
        return {
            "title": self.title,
            "lead": list(self.lead),
            "warnings": list(self.warnings),
            "claims": [_verdict(verdict) for verdict in self.verdicts],
            "claims_note": self.verdicts_note,
            "tables": [part.to_dict() for part in self.parts if isinstance(part, Table)],
            "sheets": [part.to_dict() for part in self.parts if isinstance(part, Sheet)],
            "figures": [
                part.to_dict() for part in self.parts if not isinstance(part, Table | Sheet)
            ],
            "examples": [example.to_dict() for example in self.examples],
            "failed": [{"cell": failure.item, "reason": failure.reason} for failure in self.failed],
            "setting": dict(self.setting),
            "command": self.command,
        }


def versions(*packages: str) -> str:
    """Return the versions of this package and of others that computed a report's numbers."""
    return ", ".join(f"{package} {version(package)}" for package in ("visita", *packages))


def reader_of(pairs: PairSet) -> str:
    """Return the name of the reader that pairs were read by."""
    return pairs.source.partition(":")[0]


def shown(matcher: str) -> str:
    """Return what a matcher is called where folders of this machine have no place."""
    family, colon, place = ("", "", matcher) if Path(matcher).exists() else matcher.rpartition(":")
    path = Path(place).expanduser()
    return f"{family}{colon}{path.resolve().name}" if path.exists() else matcher


def command(words: Sequence[str], pairs: PairSet, options: Sequence[str]) -> str:
    """Return ``visita WORDS`` on the pairs, with options."""
    data = f"{reader_of(pairs)}:PATH"
    return join(["visita", *words, "--data", data, "--out", "DIR", *options])


def _headed(part: Any, **content: Any) -> dict[str, Any]:
    return {"title": part.title, "note": part.note, **content}


def _numbers(estimate: Estimate | None) -> dict[str, float] | None:
    return estimate.to_dict() if estimate else None


def _verdict(verdict: Verdict) -> dict[str, Any]:
    claim = verdict.claim
    compared = zip(claim.comparisons, verdict.differences, strict=False)
    return {
        "id": claim.id,
        "claim": claim.sentence,
        "queries": claim.queries,
        "paper": dict(claim.paper),
        "enough": claim.enough,
        "differences": [
            {**asdict(comparison), **difference.to_dict()} for comparison, difference in compared
        ],
        "p_value": verdict.p_value,
        "outcome": verdict.outcome,
    }
