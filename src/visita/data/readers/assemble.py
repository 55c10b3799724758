"""From captions, one by one, or from the rows of tables, to a ``PairSet``."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from visita.brief import counted
from visita.data.pairs import PairSet, split_by_component
from visita.data.pictures import printable
from visita.data.readers.bounds import ADDRESS, OUTSIDE, Bounds
from visita.data.readers.columns import SPLITS, plain, texts_of
from visita.data.readers.parquet import Pictures, UnusableError
from visita.errors import DataError
from visita.types import Skipped


class Caption(NamedTuple):
    """One image and one text that belong together."""

    image_id: str
    path: Path
    text: str
    key: Hashable
    """Captions with an equal key are one text, which then matches several images."""
    split: str | None = None
    """Of the image; equal for all captions that share an image or a key. None: to be drawn."""
    language: str = ""
    """Of the text, where it is known."""


def assemble(
    source: str, captions: Iterable[Caption], problems: Iterable[Skipped], seed: int, bounds: Bounds
) -> PairSet:
    """Return the pairs in order of first appearance, without empty texts or missing pictures.

    What is left out is added to ``problems``. A picture must not lie out of ``bounds``,
    since a data set may come from a stranger.

    Raises
    ------
    DataError
        If nothing is left.
    """
    faults: dict[tuple[str, Path], str] = {}
    files: dict[str, Path] = {}
    usable, left_out = [], list(problems)
    for caption in (_placed(original, bounds) for original in captions):
        key = (caption.image_id, caption.path)
        if key not in faults:
            faults[key] = fault = _fault(files, caption, bounds)
            if fault:
                left_out.append(Skipped(printable(caption.image_id), fault))
        if not faults[key]:
            if caption.text.strip():
                usable.append(caption)
            else:
                left_out.append(Skipped(printable(caption.image_id), "has an empty text"))
    if not usable:
        reasons = "".join(f" {problem.item}: {problem.reason}." for problem in left_out[:3])
        raise DataError(f"{printable(source)}: no image with a text is left to use.{reasons}")
    return _pair_up(source, usable, tuple(left_out), seed)


def _placed(caption: Caption, bounds: Bounds) -> Caption:
    """Return the caption with an id that does not change with the data's place."""
    if not os.path.isabs(caption.image_id):  # noqa: PTH117  ten times as fast
        return caption
    return caption._replace(image_id=bounds.find(caption.image_id, [])[0])


def _fault(files: dict[str, Path], caption: Caption, bounds: Bounds) -> str:
    """Return why a picture that was not met before is no use, or ``""``."""
    if fault := picture_fault(caption.image_id, caption.path, bounds):
        return fault
    if files.setdefault(caption.image_id, caption.path) != caption.path:
        return f"is {printable(str(caption.path))} too; that one is left out"
    return ""


def picture_fault(name: str, path: Path, bounds: Bounds) -> str:
    """Return why the picture ``path``, called ``name`` by the data set, is no use, or ``""``."""
    if "://" in name:
        return ADDRESS
    if ".." in name and ".." in PurePath(name).parts:
        return OUTSIDE
    return bounds.fault(path)


def captions_of(
    pictures: Path, splits: Mapping[str, str | None], texts: Mapping[str, Sequence[str]]
) -> Iterator[Caption]:
    """Yield the captions of the files in ``pictures`` that have a split; no text is another's."""
    for name, split in splits.items():
        file = pictures / name
        for number, text in enumerate(texts.get(name, ())):
            yield Caption(name, file, text, (name, number), split)


def unknown_splits(counts: Mapping[str, int], what: str, known: str) -> list[Skipped]:
    """Return what is to be said of so many images or rows whose split is none of those known."""
    return [
        Skipped(counted(count, what), f"have split {split!r}, not {known}")
        for split, count in counts.items()
    ]


def _pair_up(
    source: str, captions: list[Caption], problems: tuple[Skipped, ...], seed: int
) -> PairSet:
    images = {caption.image_id: (caption.path, caption.split) for caption in captions}
    texts = {caption.key: (clean_text(caption.text), caption.split) for caption in captions}
    links = [(caption.image_id, caption.key) for caption in captions]
    return link(source, images, texts, links, problems, _languages(captions), seed)


def link(
    source: str,
    images: Mapping[str, tuple[Path, str | None]],
    texts: Mapping[Hashable, tuple[str, str | None]],
    links: Sequence[tuple[str, Hashable]],
    problems: tuple[Skipped, ...],
    languages: Mapping[str, str],
    seed: int,
) -> PairSet:
    """Return the pairs of files by their ids and clean texts by their keys, each with its split.

    Splits are drawn where the first image has none.
    """
    image_rows = {image_id: row for row, image_id in enumerate(images)}
    text_rows = {key: row for row, key in enumerate(texts)}
    rows = [image_rows[image_id] for image_id, _ in links]
    columns = [text_rows[key] for _, key in links]
    truth = sparse.csr_array(
        (np.ones(len(rows), dtype=np.bool_), (rows, columns)), shape=(len(images), len(texts))
    )
    paths, splits = zip(*images.values(), strict=True)
    contents, text_splits = zip(*texts.values(), strict=True)
    if splits[0] is None:
        image_split, text_split = split_by_component(truth, seed=seed)
    else:
        image_split, text_split = np.array(splits, np.str_), np.array(text_splits, np.str_)
    return PairSet(
        source=printable(source),
        image_ids=tuple(map(printable, images)),
        image_paths=paths,
        texts=contents,
        truth=truth,
        image_split=image_split,
        text_split=text_split,
        problems=problems,
        languages=languages,
    )


def _languages(captions: list[Caption]) -> dict[str, str]:
    """Return the language of each text, that of its first caption."""
    return {clean_text(c.text): c.language for c in reversed(captions) if c.language}


def clean_text(text: str) -> str:
    """Return ``text`` without surrounding space, such that UTF-8 can hold it."""
    # Half a surrogate pair, as broken JSON escapes leave, would stop every tokenizer.
    return text.strip().encode("utf-8", "replace").decode()


class Gathered:
    """The captions of any number of tables of one data set.

    Rows with the same image give it several texts; rows with the same text, within one
    split, make it one text that matches several images.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.captions: list[Caption] = []
        self.problems: list[Skipped] = []
        self._pictures = Pictures(bounds)
        self._splits: dict[str, str | None] = {}
        self._unknown: Counter[str] = Counter()

    def add(
        self, rows: Iterable[tuple[str, dict[str, Any]]], bases: Sequence[Path], split: str | None
    ) -> None:
        """Add the rows of a table, given by place and role.

        Pictures are looked for from ``bases``; ``split`` is that of a table without its own.
        """
        for place, row in rows:
            side = SPLITS.get(plain(str(row["split"]))) if "split" in row else split
            if "split" in row and side is None:
                self._unknown[str(row["split"])] += 1
                continue
            try:
                picture = self._pictures.of(row["image"], bases)
            except UnusableError as error:
                self.problems.append(Skipped(place, str(error)))
            else:
                self._add(place, row, picture, side)

    def all_problems(self) -> list[Skipped]:
        """Return what was left out or odd."""
        return [*self.problems, *unknown_splits(self._unknown, "row", "train, dev or test")]

    def _add(
        self, place: str, row: dict[str, Any], picture: tuple[str, Path], side: str | None
    ) -> None:
        name, path = picture
        first = self._splits.setdefault(name, side)
        if side != first:
            stays = f"{name} is in {side} too; it stays in {first}"
            self.problems.append(Skipped(place, stays))
        language = plain(str(row.get("language") or ""))
        for text in texts_of(row["text"]):
            if text is None:
                self.problems.append(Skipped(place, "has no text"))
            else:
                self.captions.append(
                    Caption(name, path, text, (first, text.strip()), first, language)
                )
