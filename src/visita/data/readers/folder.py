"""A folder of pictures, each beside a text file of the same name with one caption a line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visita.data.files import read_lines
from visita.data.pairs import PairSet
from visita.data.pictures import find_pictures, picture_id
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.bounds import Bounds
from visita.errors import DataError
from visita.types import Skipped

MOST_BYTES = 1_000_000
"""Of the captions of a picture."""


class Folder:
    """Reads ``beach/dune.jpg`` with ``beach/dune.txt``; splits are drawn.

    Pictures that share a text file share its texts.
    """

    looks_for = "a folder with pictures, each beside a .txt of the same name, one caption a line"

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and any(
            picture.path.with_suffix(".txt").is_file() for picture in find_pictures(path).pictures
        )

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        bounds = Bounds(path, roots)
        found = find_pictures(path)
        problems = found.skipped
        captions: list[Caption] = []
        for picture in found.pictures:
            name = picture_id(picture.path, path)
            file = picture.path.with_suffix(".txt")
            try:
                texts = _texts(file, bounds)
            except DataError as error:
                problems.append(Skipped(name, str(error)))
            else:
                captions += [Caption(name, picture.path, text, (file, at)) for at, text in texts]
        return assemble(f"folder:{path}", captions, problems, seed, bounds)


def _texts(file: Path, bounds: Bounds) -> list[tuple[int, str]]:
    """Return the numbers and contents of the lines that are not blank."""
    if not file.is_file():
        raise DataError("has no text file beside it")
    if fault := bounds.fault(file):
        raise DataError(f"its text file {fault}")
    texts = [
        (number, line) for number, line in enumerate(read_lines(file, MOST_BYTES)) if line.strip()
    ]
    if not texts:
        raise DataError("its text file is empty")
    return texts
