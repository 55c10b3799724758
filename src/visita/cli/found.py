"""What one search found, and the ways to show it: lines, JSON, a contact sheet, a viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import typer

import visita
from visita.cli.places import check_drawing
from visita.progress import note, one_line

SURE = 0.5
FIRST = 3
"""Pictures that ``--open`` opens, without a sheet."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a query found among ``gallery_size`` pictures, or why it found nothing."""

    query: str
    kind: str
    gallery_size: int
    matches: list[visita.Match] = field(default_factory=list)
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; the matches are there where there is no error."""
        facts = {"query": self.query, "kind": self.kind, "gallery_size": self.gallery_size}
        if self.error:
            return {**facts, "error": self.error}
        return {**facts, "matches": [asdict(match) for match in self.matches]}

    def remark(self, threshold: float | None) -> str:
        """Return how the numbers are to be read, where that is not plain, or ``""``."""
        if self.matches and self.kind == "picture":
            return "the numbers are similarities (cosines), not probabilities"
        return remark(self.matches, threshold)


def remark(matches: Sequence[visita.Match], threshold: float | None) -> str:
    """Return how the numbers of matches for a text are to be read, or ``""`` where it is plain."""
    if not matches:
        return f"nothing found: no picture reaches {threshold}"
    best = matches[0].probability
    if best is None:
        return "this matcher was never calibrated: the numbers are scores, not probabilities"
    return f"no sure match: the best has probability {best:.2f}" if best < SURE else ""


def line(match: visita.Match) -> str:
    """Return the number and the path of a match, parted by a tab."""
    number = match.score if match.probability is None else match.probability
    return f"{number:.3f}\t{one_line(match.path)}"


def check_sheet(out: Path, given: Sequence[Path]) -> None:
    """Refuse a name that no sheet can have, or of one's own picture, ``given`` or in a folder."""
    from visita.experiments import contact_sheet  # noqa: PLC0415

    contact_sheet.check_sheet(out)
    check_drawing(out, given)


def draw_sheet(found: Sequence[Found], out: Path) -> None:
    """Draw all that was found into one picture."""
    from visita.experiments.contact_sheet import Head, Row, draw  # noqa: PLC0415

    rows = [
        Row(one.query, one.error or ("" if one.matches else "nothing found"), one.matches)
        for one in found
    ]
    queries = f"{len(found)} queries" if len(found) > 1 else "1 query"
    told = f"{queries}, {found[0].gallery_size:,} pictures; best first"
    draw(rows, out, Head("visita search", told))


def view(paths: Sequence[str]) -> None:
    """Open files with the system's viewer, and say so where there is none."""
    if [path for path in paths if typer.launch(path)]:
        note("there is no viewer to open pictures with here")
