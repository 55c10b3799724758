"""Pairs that are in memory: pandas and polars DataFrames, and data sets of ``datasets``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from visita.data.pairs import PairSet
from visita.data.readers.assemble import assemble
from visita.data.readers.bounds import Bounds
from visita.data.readers.columns import SPLITS, choose_roles, plain
from visita.data.readers.gather import Gathered
from visita.errors import DataError

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
    return frame.iter_rows(named=True), [str(one) for one in frame.columns]


def _of_dataset(data: Any) -> tuple[Iterator[dict[str, Any]], list[str]]:
    """Return the rows as Arrow holds them: pictures as bytes and paths, not decoded."""
    batches = data.with_format("arrow").iter(batch_size=BATCH)
    return (row for batch in batches for row in batch.to_pylist()), list(data.column_names)


def _plain(cell: Any) -> Any:
    """Return a cell of numpy as Python's own."""
    return cell.tolist() if hasattr(cell, "tolist") else cell
