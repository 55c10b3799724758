"""A reader of pairs in a file ``pairs.toy``: a picture's name, a tab, a text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from visita.data.files import read_lines
from visita.data.pairs import PairSet
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.bounds import Bounds

FILE = "pairs.toy"
MOST_BYTES = 1_000_000


class ToyPairs:
    """Reads a folder with pictures and ``pairs.toy``; splits are drawn."""

    looks_for = f"a folder with {FILE}"

    def recognises(self, path: Path) -> bool:
        return (path / FILE).is_file()

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        lines = filter(None, read_lines(path / FILE, MOST_BYTES))
        captions = [
            Caption(name, path / name, text, (path / FILE, number))
            for number, (name, _, text) in enumerate((line.partition("\t") for line in lines), 1)
        ]
        return assemble(f"toy-pairs:{path}", captions, [], seed, Bounds(path, roots))
