"""From the rows of tables to captions: pictures by name or inside the row, texts, splits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from visita.data.readers.assemble import Caption
from visita.data.readers.bounds import Bounds
from visita.data.readers.cells import Pictures, UnusableError
from visita.data.readers.columns import SPLITS, plain, texts_of
from visita.types import Skipped


class Gathered:
    """The captions of any number of tables of one data set.

    Rows with the same image give it several texts; rows with the same text, within one
    split, make it one text that matches several images.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.captions: list[Caption] = []
        self.problems: list[Skipped] = []
        self._pictures = Pictures(bounds)
        self._splits: dict[str, str | None] = {}
        self._unknown: Counter[str] = Counter()

    def add(
        self, rows: Iterable[tuple[str, dict[str, Any]]], bases: Sequence[Path], split: str | None
    ) -> None:
        """Add the rows of a table, given by place and role.

        Pictures are looked for from ``bases``; ``split`` is that of a table without its own.
        """
        for place, row in rows:
            side = SPLITS.get(plain(str(row["split"]))) if "split" in row else split
            if "split" in row and side is None:
                self._unknown[str(row["split"])] += 1
                continue
            try:
                found = self._pictures.of(row["image"], bases)
            except UnusableError as error:
                self.problems.append(Skipped(place, str(error)))
            else:
                self._add(place, row, found, side)

    def all_problems(self) -> list[Skipped]:
        """Return what was left out or odd."""
        unknown = (
            Skipped(f"{rows} rows", f"have split {value!r}, not train, dev or test")
            for value, rows in self._unknown.items()
        )
        return [*self.problems, *unknown]

    def _add(
        self, place: str, row: dict[str, Any], found: tuple[str, Path], side: str | None
    ) -> None:
        name, path = found
        first = self._splits.setdefault(name, side)
        if side != first:
            stays = f"{name} is in {side} too; it stays in {first}"
            self.problems.append(Skipped(place, stays))
        language = plain(str(row.get("language") or ""))
        for text in texts_of(row["text"]):
            if text is None:
                self.problems.append(Skipped(place, "has no text"))
            else:
                self.captions.append(
                    Caption(name, path, text, (first, text.strip()), first, language)
                )
