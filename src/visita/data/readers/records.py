"""Pairs that are in memory: records as linked data have them, DataFrames, ``datasets``."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from visita.data.pairs import PairSet
from visita.data.pictures import printable
from visita.data.readers.assemble import Gathered, assemble, clean_text, link, picture_fault
from visita.data.readers.bounds import Bounds
from visita.data.readers.columns import SPLITS, choose_roles, plain
from visita.data.readers.parquet import Pictures, UnusableError
from visita.errors import DataError
from visita.types import Skipped


class _Image(NamedTuple):
    file: Path
    split: str | None


class _Text(NamedTuple):
    text: str
    number: int
    split: str | None


class Records:
    """Images in the order of their records, and texts in that of their numbers.

    Parameters
    ----------
    bounds
        Where the paths of pictures begin, and must stay.
    numbered
        Texts have numbers; a record may then be an image alone, or a text alone.
    """

    def __init__(self, bounds: Bounds, *, numbered: bool) -> None:
        self._bounds = bounds
        self._pictures = Pictures(bounds)
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
        image, text = record["image"], record["text"]
        spoken = isinstance(text, str) and text.strip()
        if image is None and self._numbered and spoken:
            self._add_text(text, record, split)
        elif image is not None and text is None and self._numbered:
            self._add_image(place, image, record.get("image_id"), split)
        elif not spoken:
            self._problems.append(Skipped(place, "has no text"))
        elif name := self._add_image(place, image, record.get("image_id"), split):
            side = self._images[name].split
            self._links.append((name, self._add_text(text, record, side)))

    def pairs(self, source: str, problems: Iterable[Skipped], seed: int) -> PairSet:
        """Return the pairs; splits are drawn where there are none.

        Raises
        ------
        DataError
            If nothing is left.
        """
        problems = (*problems, *self._problems)
        if not self._links:
            reasons = "".join(f" {problem.item}: {problem.reason}." for problem in problems[:3])
            raise DataError(f"{printable(source)}: no image with a text is left to use.{reasons}")
        texts = sorted(self._texts.items(), key=lambda item: item[1].number)
        return link(
            source,
            {name: (image.file, image.split) for name, image in self._images.items()},
            {key: (text.text, text.split) for key, text in texts},
            self._links,
            problems,
            self._languages,
            seed,
        )

    def _add_image(self, place: str, cell: Any, given_id: Any, split: str | None) -> str | None:
        """Return the image's id, or None if it is no use, which is told."""
        try:
            own, file = self._pictures.of(cell, [self._bounds.folder])
        except UnusableError as error:
            self._problems.append(Skipped(place, str(error)))
            return None
        name = own if given_id is None else str(given_id)
        if name not in self._faults:
            self._faults[name] = fault = picture_fault(own, file, self._bounds)
            if fault:
                self._problems.append(Skipped(printable(name), fault))
        if self._faults[name]:
            return None
        first = self._images.setdefault(name, _Image(file, split))
        if first.file != file:
            reason = f"{name} is {own} too; it stays {first.file.name}, and this one is left out"
            self._problems.append(Skipped(place, reason))
            return None
        if first.split != split:
            reason = f"{name} is in {split} too; it stays in {first.split}"
            self._problems.append(Skipped(place, reason))
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


BATCH = 100
"""Rows of a data set that are in memory at a time, with their pictures."""
Cells = Iterator[tuple[str, dict[str, Any]]]


def is_frame(data: object) -> bool:
    """Tell a DataFrame, a ``datasets.Dataset`` or a ``DatasetDict``."""
    return _is_dataset(data) or _is_datasets(data) or _narwhal(data) is not None


def read_frame(data: Any, seed: int, roots: Sequence[Path] = ()) -> PairSet:
    """Return the pairs of the rows, which have the columns of a table.

    Pictures are files, named from the folder one is in, from ``roots`` or in full; or they are
    in the rows, as bytes or as ``{bytes, path}``. A ``DatasetDict`` says the splits by its names.

    Raises
    ------
    DataError
        If a column is missing, or nothing is usable.
    """
    # Who has the rows in memory names what they like: the paths are not a stranger's file.
    bounds = Bounds(Path.cwd(), (*roots, Path(Path.cwd().anchor)))
    gathered = Gathered(bounds)
    parts = data if _is_datasets(data) else {"": data}
    for name, part in parts.items():
        split = SPLITS.get(plain(name))
        if name and split is None:
            raise DataError(f"The split {name!r} is none of train, validation and test.")
        gathered.add(_rows(part), [bounds.folder], split)
    source = f"{type(data).__module__.partition('.')[0]}:{type(data).__name__}"
    return assemble(source, gathered.captions, gathered.all_problems(), seed, bounds)


def _is_dataset(data: Any) -> bool:
    return hasattr(data, "features") and hasattr(data, "with_format")


def _is_datasets(data: Any) -> bool:
    return isinstance(data, Mapping) and bool(data) and all(map(_is_dataset, data.values()))


def _narwhal(data: Any) -> Any:
    import narwhals  # noqa: PLC0415  only where rows are in memory

    try:
        return narwhals.from_native(data, eager_only=True)
    except TypeError:
        return None


def _rows(data: Any) -> Cells:
    rows, columns = _of_dataset(data) if _is_dataset(data) else _of_frame(_narwhal(data))
    chosen = choose_roles("The table")(columns)
    for number, row in enumerate(rows):
        yield f"row {number}", {role: _plain(row[column]) for role, column in chosen.items()}


def _of_frame(frame: Any) -> tuple[Iterator[dict[str, Any]], list[str]]:
    return frame.iter_rows(named=True), [str(column) for column in frame.columns]


def _of_dataset(data: Any) -> tuple[Iterator[dict[str, Any]], list[str]]:
    """Return the rows as Arrow holds them: pictures as bytes and paths, not decoded."""
    batches = data.with_format("arrow").iter(batch_size=BATCH)
    return (row for batch in batches for row in batch.to_pylist()), list(data.column_names)


def _plain(cell: Any) -> Any:
    """Return a cell of numpy as Python's own."""
    return cell.tolist() if hasattr(cell, "tolist") else cell
