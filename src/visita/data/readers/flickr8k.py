"""Flickr8k's official layout: one token file, and a list of pictures for each split.

Source: M. Hodosh, P. Young, J. Hockenmaier, Framing Image Description as a Ranking Task,
JAIR 47 (2013).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from visita.data.identical import identical_files
from visita.data.pairs import PairSet
from visita.data.pictures import is_picture_name
from visita.data.readers.assemble import Caption, assemble
from visita.data.readers.textfile import read_lines
from visita.errors import DataError
from visita.types import Skipped

TOKENS = "Flickr8k.token.txt"
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "dev": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
TEXT_FOLDERS = ("", "Flickr8k_text")
PICTURE_FOLDERS = ("Images", "Flicker8k_Dataset")


class Flickr8k:
    """Reads Flickr8k with its official splits; a missing list leaves its pictures out."""

    looks_for = f"a folder with {TOKENS}, {LISTS['train']} and pictures in {PICTURE_FOLDERS[0]}/"

    def recognises(self, path: Path) -> bool:
        return _text_folder(path) is not None

    def read(self, path: Path, seed: int) -> PairSet:
        text_folder = _text_folder(path)
        picture_folder = next((path / n for n in PICTURE_FOLDERS if (path / n).is_dir()), None)
        if text_folder is None or picture_folder is None:
            raise DataError(f"{path} is not Flickr8k: it should be {self.looks_for}.")
        problems: list[Skipped] = []
        texts = _texts(text_folder, problems)
        splits = _splits(text_folder, problems)
        problems += _odd_names(texts, splits)
        captions = [
            Caption(name, file, text, (name, number), split)
            for name, split in splits.items()
            for file in (picture_folder / name,)
            for number, text in enumerate(texts.get(name, ()))
        ]
        pairs = assemble(f"flickr8k:{path}", captions, problems, seed)
        return replace(pairs, problems=(*pairs.problems, *_twins(pairs)))


def _text_folder(path: Path) -> Path | None:
    return next((path / name for name in TEXT_FOLDERS if (path / name / TOKENS).is_file()), None)


def _texts(folder: Path, problems: list[Skipped]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(folder / TOKENS), start=1):
        name, hash_sign, rest = line.partition("#")
        _, tab, text = rest.partition("\t")
        if hash_sign and tab:
            texts.setdefault(name, []).append(text)
        elif line.strip():
            problems.append(Skipped(f"{TOKENS}:{number}", "is not  picture.jpg#number <tab> text"))
    return texts


def _splits(folder: Path, problems: list[Skipped]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for split, file in LISTS.items():
        lines = read_lines(folder / file) if (folder / file).is_file() else []
        for name in filter(None, map(str.strip, lines)):
            if splits.setdefault(name, split) != split:
                problems.append(
                    Skipped(name, f"is listed for {split} too; it stays in {splits[name]}")
                )
    return splits


def _odd_names(texts: dict[str, list[str]], splits: dict[str, str]) -> Iterator[Skipped]:
    for name, split in splits.items():
        if name not in texts:
            yield Skipped(name, f"is listed for {split} but has no texts")
    unlisted = [name for name in texts if name not in splits]
    for name in unlisted:
        if not is_picture_name(name):
            yield Skipped(name, "has texts but is not the name of a picture")
    pictures = sum(map(is_picture_name, unlisted))
    if pictures:
        lists = ", ".join(LISTS.values())
        yield Skipped(TOKENS, f"{pictures} of its pictures left out, being in none of {lists}")


def _twins(pairs: PairSet) -> Iterator[Skipped]:
    names = pairs.image_ids
    for first, *others in identical_files(pairs.image_paths):
        for other in others:
            yield Skipped(names[other], f"is the same picture as {names[first]}; both are kept")
