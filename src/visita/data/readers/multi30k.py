"""Multi30k: captions of Flickr30k's pictures in English, German, French and Czech.

Source: D. Elliott, S. Frank, K. Sima'an, L. Specia, Multi30K: Multilingual English-German Image
Descriptions, 2016; files at https://github.com/multi30k/dataset: ``raw/train.de.gz`` (task 1) or
``raw/train.1.de.gz`` to ``train.5.de.gz`` (task 2), whose lines are of the pictures in the lines of
``image_splits/train.txt`` or ``train_images.txt``.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from visita.data.files import read_lines
from visita.data.pairs import PairSet
from visita.data.pictures import printable
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.bounds import Bounds
from visita.data.readers.columns import SPLITS
from visita.errors import DataError
from visita.types import Skipped

LISTS, TEXTS = "image_splits", "raw"
PICTURE_FOLDERS = ("flickr30k-images", "flickr30k_images", "images")
FOLDERS = ("", "data/task1", "data/task2", "task1", "task2")
MOST_BYTES = 100_000_000
"""Of a file's text, unpacked; the real ones hold 2 MB."""


class Multi30k:
    """Reads all languages of one task, with its own splits and each text's language.

    The pictures are Flickr30k's: in ``flickr30k-images/`` beside, or in a root.
    """

    looks_for = (
        f"a folder with {TEXTS}/train.de.gz and {LISTS}/train.txt, and Flickr30k's pictures in "
        f"{PICTURE_FOLDERS[0]}/ or named by --root"
    )

    def recognises(self, path: Path) -> bool:
        return _task(path) is not None

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        task, bounds = _task(path), Bounds(path, roots)
        pictures = bounds.folder_of(PICTURE_FOLDERS)
        if task is None or pictures is None:
            raise DataError(f"{path} is not Multi30k: it should be {self.looks_for}.")
        problems: list[Skipped] = []
        captions = list(_captions(task, pictures, bounds, problems))
        return assemble(f"multi30k:{path}", captions, problems, seed, bounds)


def _task(path: Path) -> Path | None:
    tasks = [path / name for name in FOLDERS]
    return next((t for t in tasks if (t / LISTS).is_dir() and (t / TEXTS).is_dir()), None)


def _captions(
    task: Path, pictures: Path, bounds: Bounds, problems: list[Skipped]
) -> Iterator[Caption]:
    for images in sorted((task / LISTS).glob("*.txt")):
        part = images.stem.removesuffix("_images")
        split = SPLITS.get(part.partition("_")[0])
        names = [line.partition("#")[0].strip() for line in read_lines(bounds.check(images))]
        names = names[: len(names) - (names[-1:] == [""])]
        for file, language in _texts(task, part) if split else ():
            lines = _lines(bounds.check(file))
            if len(lines) != len(names):
                reason = f"has {len(lines):,} lines, and {images.name} {len(names):,}; left out"
                problems.append(Skipped(file.name, reason))
                continue
            for number, (name, text) in enumerate(zip(names, lines, strict=True)):
                key = (file.name, number)
                yield Caption(name, pictures / name, text, key, split, language)


def _texts(task: Path, part: str) -> Iterator[tuple[Path, str]]:
    """Yield the files of a split's texts, with their languages."""
    pattern = re.compile(rf"{re.escape(part)}(?:\.\d)?\.([a-z]{{2}})(?:\.gz)?")
    for file in sorted((task / TEXTS).iterdir()):
        if match := pattern.fullmatch(file.name):
            yield file, match[1]


def _lines(file: Path) -> list[str]:
    if file.suffix != ".gz":
        return [*read_lines(file)][:-1]
    try:
        with gzip.open(file) as unpacked:
            content = unpacked.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{printable(str(file))} cannot be unpacked: {error}.") from error
    if len(content) > MOST_BYTES:
        raise DataError(f"{printable(str(file))} unpacks to more than {MOST_BYTES:,} bytes.")
    return content.decode("utf-8", "replace").removesuffix("\n").split("\n")
