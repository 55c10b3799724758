"""Flickr8k's official layout: one token file, and a list of pictures for each split.

Source: M. Hodosh, P. Young, J. Hockenmaier, Framing Image Description as a Ranking Task,
JAIR 47 (2013). Kaggle's copies have the captions as a table, and mostly no lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from visita.data.files import read_lines
from visita.data.join import identical_files
from visita.data.pairs import PairSet
from visita.data.pictures import is_picture_name
from visita.data.readers.assemble import assemble, captions_of
from visita.data.readers.bounds import Bounds, inner_folders
from visita.data.readers.columns import choose_roles
from visita.data.readers.table import read_delimited
from visita.errors import DataError
from visita.progress import say
from visita.types import Skipped

TOKENS = "Flickr8k.token.txt"
KAGGLE = "captions.txt"
LISTS = {
    "train": "Flickr_8k.trainImages.txt",
    "dev": "Flickr_8k.devImages.txt",
    "test": "Flickr_8k.testImages.txt",
}
PICTURE_FOLDERS = (
    *("Images/Images", "Images", "Flicker8k_Dataset/Flicker8k_Dataset", "Flicker8k_Dataset"),
    *("images", "Flickr8k_Dataset"),
)


class Flickr8k:
    """Reads Flickr8k with its official splits; a missing list leaves its pictures out.

    Captions and lists lie in the folder or in one within, as do the pictures. Splits are drawn
    for Kaggle's captions without any list.
    """

    looks_for = (
        f"a folder with {TOKENS}, {LISTS['train']} and pictures in Images/, or with Kaggle's "
        f"{KAGGLE} and Images/"
    )

    def recognises(self, path: Path) -> bool:
        file = _captions_file(path)
        # Others call a file captions.txt, too.
        return file is not None and (
            file.name == TOKENS or Bounds(path).folder_of(PICTURE_FOLDERS) is not None
        )

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        bounds = Bounds(path, roots)
        file, pictures = _captions_file(path), bounds.folder_of(PICTURE_FOLDERS)
        if file is None or pictures is None:
            raise DataError(f"{path} is not Flickr8k: it should be {self.looks_for}.")
        problems: list[Skipped] = []
        texts = _texts(bounds.check(file), problems)
        splits: Mapping[str, str | None] = _splits(file.parent, bounds, problems)
        if file.name == KAGGLE and not splits:
            say("flickr8k: splits are drawn, 70 / 15 / 15, as there are no official lists")
            splits = dict.fromkeys(texts)
        problems += _odd_names(texts, splits)
        captions = captions_of(pictures, splits, texts)
        pairs = assemble(f"flickr8k:{path}", captions, problems, seed, bounds)
        return replace(pairs, problems=(*pairs.problems, *_twins(pairs)))


def _captions_file(path: Path) -> Path | None:
    folders = (path, *inner_folders(path))
    places = (folder / name for name in (TOKENS, KAGGLE) for folder in folders)
    return next((place for place in places if place.is_file()), None)


def _texts(file: Path, problems: list[Skipped]) -> dict[str, list[str]]:
    texts: dict[str, list[str]] = {}
    if file.name == KAGGLE:
        for place, row in read_delimited(file, choose_roles(str(file)), problems):
            if row["text"] is None:
                problems.append(Skipped(place, "has no text"))
            else:
                texts.setdefault(row["image"], []).append(row["text"])
        return texts
    for number, line in enumerate(read_lines(file), start=1):
        name, hash_sign, rest = line.partition("#")
        _, tab, text = rest.partition("\t")
        if hash_sign and tab:
            texts.setdefault(name, []).append(text)
        elif line.strip():
            problems.append(Skipped(f"{TOKENS}:{number}", "is not  picture.jpg#number <tab> text"))
    return texts


def _splits(folder: Path, bounds: Bounds, problems: list[Skipped]) -> dict[str, str]:
    splits: dict[str, str] = {}
    for split, name in LISTS.items():
        file = folder / name
        lines = read_lines(bounds.check(file)) if file.is_file() else []
        for image in filter(None, map(str.strip, lines)):
            if splits.setdefault(image, split) != split:
                problems.append(
                    Skipped(image, f"is listed for {split} too; it stays in {splits[image]}")
                )
    return splits


def _odd_names(
    texts: Mapping[str, list[str]], splits: Mapping[str, str | None]
) -> Iterator[Skipped]:
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
