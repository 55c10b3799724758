"""Karpathy's splits: ``dataset_flickr8k.json``, ``dataset_flickr30k.json``, ``dataset_coco.json``.

Source: A. Karpathy, L. Fei-Fei, Deep Visual-Semantic Alignments for Generating Image
Descriptions, CVPR 2015; files at https://cs.stanford.edu/people/karpathy/deepimagesent/.

COCO's file calls 30,504 validation images that are neither dev nor test ``restval``.
Whether one trains on them is part of the reader's name, and so of every report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from visita.brief import counted
from visita.data.files import KARPATHY, json_kind, read_json
from visita.data.pairs import PairSet
from visita.data.readers.assemble import assemble, captions_of, unknown_splits
from visita.data.readers.bounds import Bounds
from visita.errors import DataError
from visita.progress import say
from visita.types import Skipped

Sizes = tuple[int, int, int]
"""Images in train, dev and test."""
PUBLISHED: dict[str, Sizes] = {
    "flickr8k": (6_000, 1_000, 1_000),
    "flickr30k": (29_000, 1_014, 1_000),
    "coco": (82_783, 5_000, 5_000),
}
KARPATHY_COCO_WITH_RESTVAL: Sizes = (113_287, 5_000, 5_000)
M_RNN: Sizes = (29_783, 1_000, 1_000)


def compare_sizes(pairs: PairSet, published: Sizes) -> PairSet:
    """Return ``pairs``; where its splits have other sizes, that is said and added as a problem."""
    sizes = tuple(pairs.splits().values())
    if sizes == published:
        return pairs
    reason = f"has {_listed(sizes)} images, the published split {_listed(published)}"
    say(f"{pairs.source} {reason}: numbers on it are not comparable")
    return replace(pairs, problems=(*pairs.problems, Skipped("splits", reason)))


def _listed(sizes: tuple[int, ...]) -> str:
    return " / ".join(f"{size:,}" for size in sizes)


RESTVAL = "restval"
PICTURE_FOLDERS = (
    *("", "images", "Images", "Flicker8k_Dataset"),
    *("flickr30k-images", "flickr30k_images", "flickr30k_images/flickr30k_images"),
)


class Karpathy:
    """Reads a file without ``restval``; pictures lie beside it, above it, or in usual folders."""

    looks_for = "a JSON file called dataset_*.json with Karpathy's splits train, val and test"
    name: ClassVar[str] = "karpathy"
    splits: ClassVar[Mapping[str, str | None]] = {"train": "train", "val": "dev", "test": "test"}
    """What becomes of the images of each split; None leaves them out."""

    def recognises(self, path: Path) -> bool:
        # With and without restval are two data sets: one says which.
        return self.name == Karpathy.name and json_kind(path) == KARPATHY

    def read(self, path: Path, seed: int, roots: Sequence[Path] = ()) -> PairSet:
        problems: list[Skipped] = []
        dataset, entries = load(path, problems)
        counts = Counter(entry.split for entry in entries)
        if counts[RESTVAL]:
            self._tell_restval(path, counts[RESTVAL])
        unknown = {split: count for split, count in counts.items() if split not in self.splits}
        problems += unknown_splits(unknown, "image", ", ".join(self.splits))
        wanted = [entry for entry in entries if self.splits.get(entry.split)]
        problems += [Skipped(entry.name, "has no captions") for entry in wanted if not entry.texts]
        folder = _picture_folder(path, wanted, roots)
        here = path.absolute().parent
        bounds = Bounds(here if folder.is_relative_to(here) else here.parent, roots)
        splits = {entry.name: self.splits[entry.split] for entry in wanted}
        captions = captions_of(folder, splits, {entry.name: entry.texts for entry in wanted})
        pairs = assemble(f"{self.name}:{path}", captions, problems, seed, bounds)
        published = PUBLISHED.get(dataset)
        if dataset == "coco" and self.splits.get(RESTVAL):
            published = KARPATHY_COCO_WITH_RESTVAL
        return compare_sizes(pairs, published) if published else pairs

    def _tell_restval(self, path: Path, count: int) -> None:
        if RESTVAL not in self.splits:
            raise DataError(
                f"{path} has {counted(count, 'image')} of {RESTVAL}: choose "
                f"karpathy-with-restval:PATH, which trains on them, or "
                f"karpathy-without-restval:PATH, which leaves them out."
            )
        use = self.splits[RESTVAL] or "left out"
        say(f"{path.name}: {counted(count, 'image')} of restval: {use}")


class KarpathyWithRestval(Karpathy):
    """Trains on ``restval`` too: COCO then has 113,287 training images, as most papers do."""

    looks_for = "a JSON file like that of karpathy, with restval as training images"
    name = "karpathy-with-restval"
    splits: ClassVar[Mapping[str, str | None]] = {**Karpathy.splits, RESTVAL: "train"}


class KarpathyWithoutRestval(Karpathy):
    """Leaves ``restval`` out: COCO then has 82,783 training images."""

    looks_for = "a JSON file like that of karpathy, with restval left out"
    name = "karpathy-without-restval"
    splits: ClassVar[Mapping[str, str | None]] = {**Karpathy.splits, RESTVAL: None}


class Entry(NamedTuple):
    """One image of the file."""

    name: str
    """Path from the pictures' folder; COCO's begin with ``train2014/`` or ``val2014/``."""
    split: str
    texts: list[str]


def load(path: Path, problems: list[Skipped]) -> tuple[str, list[Entry]]:
    """Return the name of the data set and its images; unusable ones are added to ``problems``.

    Raises
    ------
    DataError
        If ``path`` is not a file of Karpathy's.
    """
    content = read_json(path, _lean)
    match content:
        case {"images": list() as images}:
            dataset = str(content.get("dataset", ""))
        case _:
            raise DataError(f"{path} is not one of Karpathy's files: it lacks the list images.")
    entries: dict[str, Entry] = {}
    for number, image in enumerate(images):
        entry = _entry(image, f"images[{number}]", problems)
        if entry and entries.setdefault(entry.name, entry) is not entry:
            problems.append(Skipped(entry.name, "is listed twice; its first entry counts"))
    return dataset, list(entries.values())


def _lean(value: dict[str, Any]) -> Any:
    # A sentence becomes its text while parsing: COCO's 6 million tokens would take gigabytes.
    raw = value.get("raw")
    return raw if isinstance(raw, str) else value


def _entry(image: Any, place: str, problems: list[Skipped]) -> Entry | None:
    match image:
        case {"filename": str() as name, "split": str() as split, "sentences": list() as sentences}:
            texts = [text for text in sentences if isinstance(text, str)]
        case _:
            problems.append(Skipped(place, "lacks a filename, a split or sentences"))
            return None
    if len(texts) < len(sentences):
        problems.append(Skipped(name, f"{len(sentences) - len(texts)} sentences have no raw text"))
    folder = image.get("filepath")
    return Entry(f"{folder}/{name}" if isinstance(folder, str) and folder else name, split, texts)


def _picture_folder(file: Path, entries: Iterable[Entry], roots: Sequence[Path]) -> Path:
    here = file.absolute().parent
    places = [root / name for name in PICTURE_FOLDERS for root in (here, here.parent, *roots)]
    names = [entry.name for entry in entries][:100]  # some may be missing
    return next((p for p in places if any((p / name).is_file() for name in names)), here)
