"""MSCOCO's captions: ``annotations/captions_train2017.json`` beside ``train2017/``.

Source: X. Chen et al., Microsoft COCO Captions, arXiv:1504.00325.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from visita.data.files import COCO, json_kind, read_json
from visita.data.pairs import PairSet
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.bounds import Bounds, is_file
from visita.errors import DataError
from visita.progress import say
from visita.types import Skipped

OFFICIAL = re.compile(r"captions_(train|val|test)(\d*)\.json")
SPLITS = {"train": "train", "val": "dev", "test": "test"}


class Coco:
    """Reads one captions file, or all of one year.

    Where there are files for train and val, these are train and dev; else splits are drawn. The
    captions of COCO's own test pictures were never published.
    """

    name = "coco"
    drawn = False
    looks_for = "a JSON file, or a folder with annotations/captions_*.json and picture folders"

    def recognises(self, path: Path) -> bool:
        return json_kind(path) == COCO if path.is_file() else bool(_captions_files(path))

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        files = {path: ("", "")} if path.is_file() else _captions_files(path)
        if not files:
            raise DataError(f"{path} is not COCO: it should be {self.looks_for}.")
        if len({year for _, year in files.values()}) > 1:
            names = ", ".join(file.name for file in files)
            raise DataError(f"{path} holds several years: {names}. Name one of these files.")
        official = {part for part, _ in files.values()} >= {"train", "val"} and not self.drawn
        folders = {file: _picture_folder(file) for file in files}
        bounds = Bounds(path if path.is_dir() else _common(path, folders[path]), roots)
        problems: list[Skipped] = []
        captions: list[Caption] = []
        for file, (part, _) in files.items():
            if file != path:
                bounds.check(file)
            split = SPLITS[part] if official else None
            captions += _read(file, folders[file], split, bounds, problems)
        return assemble(f"{self.name}:{path}", _unique_names(captions), problems, seed, bounds)


class CocoDrawn(Coco):
    """The same pictures, split anew: 70 % train, 15 % dev and 15 % test, drawn by the seed."""

    name = "coco-drawn"
    drawn = True

    def recognises(self, path: Path) -> bool:  # noqa: ARG002 - it is a choice
        return False


def _captions_files(folder: Path) -> dict[Path, tuple[str, str]]:
    files = sorted((folder / "annotations").glob("captions_*.json"))
    matches = {file: OFFICIAL.fullmatch(file.name) for file in files}
    return {file: (name[1], name[2]) for file, name in matches.items() if name and file.is_file()}


def _read(
    file: Path, folder: Path, split: str | None, bounds: Bounds, problems: list[Skipped]
) -> Iterator[Caption]:
    names, texts = _load(file, problems)
    for key, name in names.items():
        if key not in texts:
            problems.append(Skipped(name, "has no captions"))
        image_id, path = _place(name, folder, bounds)
        for number, text in enumerate(texts.get(key, ())):
            yield Caption(image_id, path, text, (str(file), name, key, number), split)


def _place(name: str, folder: Path, bounds: Bounds) -> tuple[str, Path]:
    """Return id and file of a picture: the name is both, unless it lies in a root."""
    path = folder / name
    return bounds.find(name, [folder]) if bounds.roots and not is_file(path) else (name, path)


def _unique_names(captions: list[Caption]) -> Iterable[Caption]:
    """Return the captions; pictures of one name in several folders get ids of their own."""
    places = Counter(name for name, _ in {(caption.image_id, caption.path) for caption in captions})
    for caption in captions:
        twice = places[caption.image_id] > 1
        yield (
            caption._replace(image_id=f"{caption.path.parent.name}/{caption.image_id}")
            if twice
            else caption
        )


def _load(
    file: Path, problems: list[Skipped]
) -> tuple[dict[int | str, str], dict[int | str, list[str]]]:
    """Return file names and captions, each by image id."""
    images, annotations = _lists(read_json(file), file)
    names = _names(images, problems)
    texts: dict[int | str, list[str]] = {}
    for number, annotation in enumerate(annotations):
        match annotation:
            case {"image_id": int() | str() as key, "caption": str() as text} if key in names:
                texts.setdefault(key, []).append(text)
            case _:
                problems.append(
                    Skipped(f"annotations[{number}]", "lacks a caption or a known image_id")
                )
    return names, texts


def _names(images: list[Any], problems: list[Skipped]) -> dict[int | str, str]:
    """Return the file of each image id; an id of two files is left out, with its captions."""
    names: dict[int | str, str] = {}
    twice: set[int | str] = set()
    for number, image in enumerate(images):
        match image:
            case {"id": int() | str() as key, "file_name": str() as name}:
                if names.setdefault(key, name) != name:
                    twice.add(key)
                    reason = f"is {names[key]} and {name}: whose the captions are is unclear"
                    problems.append(Skipped(f"image id {key}", f"{reason}; both are left out"))
            case _:
                problems.append(Skipped(f"images[{number}]", "lacks an id or a file_name"))
    for image_id in twice:
        say(f"warning: image id {image_id} is of several pictures; they are left out")
    return {key: name for key, name in names.items() if key not in twice}


def _lists(content: Any, file: Path) -> tuple[list[Any], list[Any]]:
    match content:
        case {"images": list() as images, "annotations": list() as annotations}:
            return images, annotations
    raise DataError(f"{file} is not COCO captions: it lacks the lists images and annotations.")


def _common(file: Path, folder: Path) -> Path:
    """Return the data set's folder, which holds a captions file and its pictures."""
    here = file.absolute().parent
    return here if folder.is_relative_to(here) else here.parent


def _picture_folder(file: Path) -> Path:
    here = file.absolute().parent
    part = file.stem.removeprefix("captions_")
    places = [
        root / name for name in (part, f"images/{part}", "images") for root in (here.parent, here)
    ]
    return next((place for place in places if place.is_dir()), here)
