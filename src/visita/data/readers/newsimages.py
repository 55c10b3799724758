"""MediaEval's NewsImages: news articles, each with the one picture that it was published with.

Source: A. Lommatzsch et al., NewsImages in MediaEval, https://multimediaeval.github.io. The tables
of 2021 are ``content2019-01-v3.tsv`` and so on by month, of which April is for testing; those of
later years are CSV or TSV for train and test. Pictures are fetched by its makers' script.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from visita.data.pairs import PairSet, split_by_component
from visita.data.pictures import is_picture_name
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.bounds import Bounds
from visita.data.readers.columns import plain
from visita.data.readers.table import read_delimited, split_named
from visita.errors import DataError
from visita.types import Skipped

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "image": ("imgfile", "imagefile", "image_file", "image_id", "imageid", "iid"),
    "title": ("title", "article_title"),
    "text": ("text", "snippet", "article_text", "article_tags"),
}
"""What the columns are called over the years; of several pictures' the first has the files."""
PICTURE_FOLDERS = ("newsimages", "images", "img", "imgs", "pictures")
BATCH = re.compile(r"content\d{4}-(\d\d)")
TEST_BATCH = "04"
DEV_SHARE = 0.1


class NewsImages:
    """Reads title and snippet as one text; of train a tenth is dev, drawn by the seed.

    Where no table is for testing, all splits are drawn. A table without pictures, as those whose
    answers the organisers keep, is left out and reported.
    """

    looks_for = (
        "a folder with tables of articles (.tsv or .csv with title, text and imgFile or image_id), "
        f"and their pictures in {PICTURE_FOLDERS[0]}/"
    )

    def recognises(self, path: Path) -> bool:
        return path.is_dir() and any(BATCH.match(file.name) for file in _tables(path))

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        tables = _tables(path) if path.is_dir() else []
        if not tables:
            raise DataError(f"{path} is not NewsImages: it should be {self.looks_for}.")
        bounds, problems = Bounds(path, roots), list[Skipped]()
        sides = {file: _side(file) for file in tables}
        official = set(sides.values()) == {"train", "test"}
        folders = [path, *(path / n for n in PICTURE_FOLDERS if (path / n).is_dir())]
        captions: list[Caption] = []
        for file, side in sides.items():
            rows = _rows(bounds.check(file), problems)
            captions += _captions(rows, side if official else None, folders, bounds)
        pairs = assemble(f"newsimages:{path}", captions, problems, seed, bounds)
        return _with_dev(pairs, seed) if official else pairs


def _tables(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in (".tsv", ".csv"))


def _side(file: Path) -> str:
    """Return train or test, by what the file is called."""
    batch = BATCH.match(file.name)
    tests = batch[1] == TEST_BATCH if batch else split_named(file.name) == "test"
    return "test" if tests else "train"


def _choose(columns: Sequence[str]) -> dict[str, str]:
    by_name = {plain(column): column for column in reversed(columns)}
    chosen = {
        role: next((by_name[name] for name in names if name in by_name), "")
        for role, names in COLUMNS.items()
    }
    if not chosen["title"] or not chosen["image"]:
        raise DataError("has no title or no picture that it belongs to")
    return {role: column for role, column in chosen.items() if column}


def _rows(file: Path, problems: list[Skipped]) -> list[tuple[str, dict[str, Any]]]:
    try:
        return list(read_delimited(file, _choose, problems))
    except DataError as error:
        problems.append(Skipped(file.name, str(error)))
        return []


def _captions(
    rows: Sequence[tuple[str, dict[str, Any]]],
    side: str | None,
    folders: Sequence[Path],
    bounds: Bounds,
) -> Iterator[Caption]:
    for place, row in rows:
        name = str(row.get("image") or "").strip()
        text = "\n".join(filter(None, (str(row.get(r) or "").strip() for r in ("title", "text"))))
        if name:
            name = name if is_picture_name(name) else f"{name}.jpg"
            found, file = bounds.find(name, folders)
            yield Caption(found, file, text, place, side)


def _with_dev(pairs: PairSet, seed: int) -> PairSet:
    train = pairs.take("train")
    images, texts = split_by_component(train.truth, (1 - DEV_SHARE, DEV_SHARE, 0.0), seed)
    image_split, text_split = (side.astype("<U5") for side in (pairs.image_split, pairs.text_split))
    image_split[np.flatnonzero(image_split == "train")] = images
    text_split[np.flatnonzero(text_split == "train")] = texts
    return replace(pairs, image_split=image_split, text_split=text_split)
