"""MSCOCO's captions: ``annotations/captions_train2017.json`` beside ``train2017/``.

Source: X. Chen et al., Microsoft COCO Captions, arXiv:1504.00325.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from visita.data.pairs import PairSet
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.textfile import read_text
from visita.errors import DataError
from visita.types import Skipped

OFFICIAL = re.compile(r"captions_(train|val|test)(\d*)\.json")
SPLITS = {"train": "train", "val": "dev", "test": "test"}


class Coco:
    """Reads one captions file, or all of one year.

    Where there are files for train and val, these are train and dev; else splits are drawn.
    """

    looks_for = "a JSON file, or a folder with annotations/captions_*.json and picture folders"

    def recognises(self, path: Path) -> bool:
        return path.suffix.lower() == ".json" if path.is_file() else bool(_captions_files(path))

    def read(self, path: Path, seed: int) -> PairSet:
        files = {path: ("", "")} if path.is_file() else _captions_files(path)
        if not files:
            raise DataError(f"{path} is not COCO: it should be {self.looks_for}.")
        if len({year for _, year in files.values()}) > 1:
            names = ", ".join(file.name for file in files)
            raise DataError(f"{path} holds several years: {names}. Name one of these files.")
        official = {part for part, _ in files.values()} >= {"train", "val"}
        problems: list[Skipped] = []
        captions: list[Caption] = []
        for file, (part, _) in files.items():
            captions += _read(file, SPLITS[part] if official else None, problems)
        return assemble(f"coco:{path}", captions, problems, seed)


def _captions_files(folder: Path) -> dict[Path, tuple[str, str]]:
    files = sorted((folder / "annotations").glob("captions_*.json"))
    named = {file: OFFICIAL.fullmatch(file.name) for file in files}
    return {file: (name[1], name[2]) for file, name in named.items() if name and file.is_file()}


def _read(file: Path, split: str | None, problems: list[Skipped]) -> Iterator[Caption]:
    names, texts = _load(file, problems)
    folder = _picture_folder(file)
    for key, name in names.items():
        if key not in texts:
            problems.append(Skipped(name, "has no captions"))
        path = folder / name
        for number, text in enumerate(texts.get(key, ())):
            yield Caption(name, path, text, (name, key, number), split)


def _load(
    file: Path, problems: list[Skipped]
) -> tuple[dict[int | str, str], dict[int | str, list[str]]]:
    """Return file names and captions, each by image id."""
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not JSON: {error}.") from error
    images, annotations = _lists(content, file)
    names: dict[int | str, str] = {}
    texts: dict[int | str, list[str]] = {}
    for number, image in enumerate(images):
        match image:
            case {"id": int() | str() as key, "file_name": str() as name}:
                names[key] = name
            case _:
                problems.append(Skipped(f"images[{number}]", "lacks an id or a file_name"))
    for number, annotation in enumerate(annotations):
        match annotation:
            case {"image_id": int() | str() as key, "caption": str() as text} if key in names:
                texts.setdefault(key, []).append(text)
            case _:
                problems.append(
                    Skipped(f"annotations[{number}]", "lacks a caption or a known image_id")
                )
    return names, texts


def _lists(content: Any, file: Path) -> tuple[list[Any], list[Any]]:
    match content:
        case {"images": list() as images, "annotations": list() as annotations}:
            return images, annotations
    raise DataError(f"{file} is not COCO captions: it lacks the lists images and annotations.")


def _picture_folder(file: Path) -> Path:
    here = file.absolute().parent
    part = file.stem.removeprefix("captions_")
    places = [
        root / name for name in (part, f"images/{part}", "images") for root in (here.parent, here)
    ]
    return next((place for place in places if place.is_dir()), here)
