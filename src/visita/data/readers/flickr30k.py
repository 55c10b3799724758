"""Flickr30K's official layout: one captions file beside a folder of pictures.

Source: P. Young, A. Lai, M. Hodosh, J. Hockenmaier, From image descriptions to visual
denotations, TACL 2 (2014). It brings no splits; papers use those of others, which differ.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from visita.data.files import read_lines
from visita.data.pairs import PairSet
from visita.data.readers import karpathy
from visita.data.readers.assemble import assemble, captions_of, unknown_splits
from visita.data.readers.bounds import Bounds
from visita.data.readers.karpathy import M_RNN, PUBLISHED, compare_sizes
from visita.errors import DataError
from visita.progress import say
from visita.types import Skipped

CAPTIONS = {
    "results_20130124.token": re.compile(r"([^\t]+)#\d+\t(.*)"),
    # One line of the CSV lacks its second bar.
    "results.csv": re.compile(r"([^|]+)\|\s*\d+\s*\|?(.*)"),
}
CSV_HEADER = "image_name|"
TEXT_FOLDERS = ("", "flickr30k_images")
PICTURE_FOLDERS = (
    *("flickr30k-images", "flickr30k_images/flickr30k_images", "flickr30k_images"),
    *("images", "Images"),
)
KARPATHY_FILE = "dataset_flickr30k.json"
M_RNN_FOLDER = "m-rnn"
M_RNN_SUFFIXES = (".lst", ".txt")
LISTS = {"train": "train", "val": "dev", "test": "test"}


class Flickr30k:
    """Reads Flickr30K and draws its splits, 70 / 15 / 15."""

    looks_for = f"a folder with {' or '.join(CAPTIONS)} and pictures in {PICTURE_FOLDERS[0]}/"

    def recognises(self, path: Path) -> bool:
        return _captions_file(path) is not None

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        say(
            "flickr30k: splits are drawn, 70 / 15 / 15; for published ones name "
            "flickr30k-karpathy: or flickr30k-m-rnn:"
        )
        return _read(f"flickr30k:{path}", Bounds(path, roots), None, [], seed)


class Flickr30kKarpathy:
    """Reads Flickr30K with Karpathy's splits, 29,000 / 1,014 / 1,000 images."""

    looks_for = f"a folder like that of flickr30k, with Karpathy's {KARPATHY_FILE} in it"

    def recognises(self, path: Path) -> bool:
        return _captions_file(path) is not None and (path / KARPATHY_FILE).is_file()

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        problems: list[Skipped] = []
        bounds = Bounds(path, roots)
        _, entries = karpathy.load(bounds.check(path / KARPATHY_FILE), problems)
        unknown = Counter(entry.split for entry in entries if entry.split not in LISTS)
        problems += unknown_splits(unknown, "image", ", ".join(LISTS))
        splits = {entry.name: LISTS[entry.split] for entry in entries if entry.split in LISTS}
        pairs = _read(f"flickr30k-karpathy:{path}", bounds, splits, problems, seed)
        return compare_sizes(pairs, PUBLISHED["flickr30k"])


class Flickr30kMRnn:
    """Reads Flickr30K with the splits of the m-RNN authors, 29,783 / 1,000 / 1,000 images.

    Source: J. Mao et al., Deep Captioning with Multimodal Recurrent Neural Networks (m-RNN),
    ICLR 2015; lists at http://www.stat.ucla.edu/~junhua.mao/m-RNN.html. They are read from
    ``m-rnn/train.lst``, ``val.lst`` and ``test.lst`` (or ``.txt``), one image a line: its id,
    its file's name, or a path to it.
    """

    looks_for = (
        f"a folder like that of flickr30k, with the lists {M_RNN_FOLDER}/train.lst, "
        f"{M_RNN_FOLDER}/val.lst and {M_RNN_FOLDER}/test.lst in it (or .txt)"
    )

    def recognises(self, path: Path) -> bool:
        return _captions_file(path) is not None and None not in _lists(path).values()

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        problems: list[Skipped] = []
        bounds = Bounds(path, roots)
        splits: dict[str, str] = {}
        for name, file in _lists(path).items():
            if file is None:
                raise DataError(
                    f"{path} lacks {M_RNN_FOLDER}/{name}.lst: it should be {self.looks_for}."
                )
            for image in _listed(bounds.check(file)):
                if splits.setdefault(image, LISTS[name]) != LISTS[name]:
                    problems.append(
                        Skipped(image, f"is listed for {name} too; it stays in {splits[image]}")
                    )
        pairs = _read(f"flickr30k-m-rnn:{path}", bounds, splits, problems, seed)
        return compare_sizes(pairs, M_RNN)


def _lists(path: Path) -> dict[str, Path | None]:
    """Return the file of each list, None where there is none."""
    places = {
        name: [path / M_RNN_FOLDER / f"{name}{suffix}" for suffix in M_RNN_SUFFIXES]
        for name in LISTS
    }
    return {name: next((f for f in files if f.is_file()), None) for name, files in places.items()}


def _listed(file: Path) -> list[str]:
    """Return the names of the pictures in a list."""
    names = [PurePath(line.strip()).name for line in read_lines(file)]
    return [name if PurePath(name).suffix else f"{name}.jpg" for name in names if name]


def _captions_file(path: Path) -> Path | None:
    places = [path / folder / name for folder in TEXT_FOLDERS for name in CAPTIONS]
    return next((place for place in places if place.is_file()), None)


def _read(
    source: str,
    bounds: Bounds,
    splits: Mapping[str, str] | None,
    problems: list[Skipped],
    seed: int,
) -> PairSet:
    """Read the captions of the images that ``splits`` lists, or of all, for splits to be drawn."""
    captions_file, pictures = _captions_file(bounds.folder), bounds.folder_of(PICTURE_FOLDERS)
    if captions_file is None or pictures is None:
        raise DataError(f"{bounds.folder} is not Flickr30K: it should be {Flickr30k.looks_for}.")
    texts = _texts(bounds.check(captions_file), problems)
    if splits is None:
        wanted: Mapping[str, str | None] = dict.fromkeys(texts)
    else:
        wanted = splits
        problems += [
            Skipped(name, f"is listed for {split} but has no captions")
            for name, split in splits.items()
            if name not in texts
        ]
        if unlisted := texts.keys() - splits.keys():
            reason = f"{len(unlisted):,} of its pictures left out, being in no split"
            problems.append(Skipped(captions_file.name, reason))
    return assemble(source, captions_of(pictures, wanted, texts), problems, seed, bounds)


def _texts(file: Path, problems: list[Skipped]) -> dict[str, list[str]]:
    pattern = CAPTIONS[file.name]
    texts: dict[str, list[str]] = {}
    for number, line in enumerate(read_lines(file), start=1):
        if match := pattern.fullmatch(line):
            texts.setdefault(match[1], []).append(match[2].strip())
        elif line.strip() and not line.startswith(CSV_HEADER):
            problems.append(Skipped(f"{file.name}:{number}", "is not a picture with its caption"))
    return texts
