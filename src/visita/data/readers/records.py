"""From records of an image with a text, as linked data have them, to a ``PairSet``."""

from __future__ import annotations

import posixpath
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from visita.data.pairs import PairSet
from visita.data.pictures import printable
from visita.data.readers.assemble import clean_text, picture_fault
from visita.data.splits import split_by_component
from visita.errors import DataError
from visita.types import Skipped


class _Image(NamedTuple):
    file: str
    split: str | None


class _Text(NamedTuple):
    text: str
    number: int
    split: str | None


class Records:
    """Images in the order of their records, and texts in that of their numbers.

    Parameters
    ----------
    folder
        Where the paths of pictures begin, and must stay.
    numbered
        Texts have numbers; a record may then be an image alone, or a text alone.
    """

    def __init__(self, folder: Path, *, numbered: bool) -> None:
        self._folder = folder
        self._numbered = numbered
        self._images: dict[str, _Image] = {}
        self._faults: dict[str, str] = {}
        self._texts: dict[Hashable, _Text] = {}
        self._languages: dict[str, str] = {}
        self._links: list[tuple[str, Hashable]] = []
        self._problems: list[Skipped] = []

    def add(self, place: str, record: Mapping[str, Any]) -> None:
        """Add a record: image (a path), text, perhaps image_id, text_id, split and language.

        Records with one ``image_id`` are one image, and those with one ``text_id`` one text;
        else an image is its path, and a text its words within a split. What is no use is
        told with its ``place``.
        """
        split = record.get("split")
        match record["image"], record["text"]:
            case str() as image, _ if not image.strip():
                self._problems.append(Skipped(place, "names no picture"))
            case str() as image, str() as text if text.strip():
                if name := self._add_image(place, image, record.get("image_id"), split):
                    split = self._images[name].split
                    self._links.append((name, self._add_text(text, record, split)))
            case str() as image, None if self._numbered:
                self._add_image(place, image, record.get("image_id"), split)
            case None, str() as text if self._numbered and text.strip():
                self._add_text(text, record, split)
            case str(), _:
                self._problems.append(Skipped(place, "has no text"))
            case _:
                self._problems.append(Skipped(place, "names no picture"))

    def pairs(self, source: str, problems: Iterable[Skipped], seed: int) -> PairSet:
        """Return the pairs; splits are drawn where there are none.

        Raises
        ------
        DataError
            If nothing is left.
        """
        problems = (*problems, *self._problems)
        if not self._links:
            reasons = "".join(f" {one.item}: {one.reason}." for one in problems[:3])
            raise DataError(f"{printable(source)}: no image with a text is left to use.{reasons}")
        texts = dict(sorted(self._texts.items(), key=lambda item: item[1].number))
        image_rows = {name: row for row, name in enumerate(self._images)}
        text_rows = {key: row for row, key in enumerate(texts)}
        rows = [image_rows[name] for name, _ in self._links]
        columns = [text_rows[key] for _, key in self._links]
        truth = sparse.csr_array(
            (np.ones(len(rows), dtype=np.bool_), (rows, columns)),
            shape=(len(image_rows), len(text_rows)),
        )
        image_split = np.array([one.split for one in self._images.values()])
        text_split = np.array([one.split for one in texts.values()])
        if image_split[0] is None:
            image_split, text_split = split_by_component(truth, seed=seed)
        return PairSet(
            source=printable(source),
            image_ids=tuple(map(printable, self._images)),
            image_paths=tuple(self._folder / one.file for one in self._images.values()),
            texts=tuple(one.text for one in texts.values()),
            truth=truth,
            image_split=image_split,
            text_split=text_split,
            problems=problems,
            languages=self._languages,
        )

    def _add_image(self, place: str, path: str, given: Any, split: str | None) -> str | None:
        """Return the image's id, or None if it is no use, which is told once."""
        file = posixpath.normpath(path.strip().replace("\\", "/"))
        name = file if given is None else str(given)
        if name not in self._faults:
            fault = _address(path) or picture_fault(file, self._folder / file)
            self._faults[name] = fault
            if fault:
                self._problems.append(Skipped(printable(name), fault))
        if self._faults[name]:
            return None
        image = _Image(file, split)
        first = self._images.setdefault(name, image)
        if first != image:
            stays = f"it stays {first.file} in {first.split}"
            self._problems.append(Skipped(place, f"{name} is {file} in {split} too; {stays}"))
        return name

    def _add_text(self, text: str, record: Mapping[str, Any], split: str | None) -> Hashable:
        text = clean_text(text)
        number: Any = record.get("text_id")
        if language := record.get("language"):
            self._languages.setdefault(text, language)
        numbered = isinstance(number, int)
        # A split is part of the key, so that no text is on two sides.
        key = (split, number if numbered else text)
        self._texts.setdefault(key, _Text(text, number if numbered else len(self._texts), split))
        return key


def _address(path: str) -> str:
    return "is an address, and visita reads local files only" if "://" in path else ""
