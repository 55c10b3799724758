"""Rows of Parquet files, a few at a time, and the pictures that their cells hold."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from visita.data.pictures import printable
from visita.data.readers.bounds import Bounds
from visita.data.readers.columns import Choose
from visita.data.readers.unpacked import MOST_PICTURE, Unpacked
from visita.errors import DataError, MissingExtraError
from visita.types import Skipped


class UnusableError(DataError):
    """What makes one row no use."""


class Pictures:
    """Finds the pictures that cells name, and unpacks those that they hold."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._unpacked = Unpacked()
        self._names: dict[str, Path] = {}

    def of(self, cell: Any, bases: Sequence[Path]) -> tuple[str, Path]:
        """Return id and file of the picture in a cell, which names it from one of ``bases``.

        Raises
        ------
        UnusableError
            If the cell holds none.
        """
        match cell:
            case str() | os.PathLike() if str(cell).strip():
                return self._bounds.find(str(cell), bases)
            case bytes() if cell:
                return self._keep("", cell)
            case {"bytes": bytes() as content, **rest} if content:
                return self._keep(str(rest.get("path") or ""), content)
            case {"path": str() as name} if name.strip():
                return self._bounds.find(name, bases)
        raise UnusableError("names no picture")

    def _keep(self, name: str, content: bytes) -> tuple[str, Path]:
        if len(content) > MOST_PICTURE:
            raise UnusableError(f"holds a picture of more than {MOST_PICTURE:,} bytes")
        file = self._unpacked.keep(content, name)
        wanted = name or file.stem[:16]
        if self._names.setdefault(wanted, file) != file:
            wanted = f"{name} {file.stem[:16]}"
        return wanted, file


MOST_VALUES = 50_000_000
MOST_IN_ROW = 10_000
"""Texts of a picture, on average."""
MOST_TEXT = 100_000_000
"""Bytes of the texts of ``FLAT`` rows."""
SMALL = 100_000_000
EXPANDS = 200
"""How many times its bytes on disk a column above ``SMALL`` bytes may hold."""
FLAT, NESTED = 1024, 8
"""Rows at a time, of texts alone and with lists or pictures."""


def read_parquet(
    path: Path, choose: Choose, problems: list[Skipped]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows; columns that are not chosen are not loaded."""
    del problems  # every row is one
    try:
        import pyarrow  # noqa: PLC0415  an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtraError("reading Parquet", "parquet") from error
    name = printable(str(path))
    try:
        with parquet.ParquetFile(path) as file:
            chosen = choose(file.schema_arrow.names)
            fields = [file.schema_arrow.field(column) for column in chosen.values()]
            _refuse_bombs(name, file.metadata, set(chosen.values()))
        flat = not any(_holds_much(pyarrow, field.type) for field in fields)
        # As a dictionary, a text that is repeated takes its place once.
        repeated = [f.name for f in fields if pyarrow.types.is_string(f.type)]
        with parquet.ParquetFile(path, read_dictionary=repeated) as file:
            batches = file.iter_batches(FLAT if flat else NESTED, columns=list(chosen.values()))
            yield from _rows(path, chosen, batches)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{name} is not readable as Parquet: {error}.") from error


def _rows(path: Path, chosen: Any, batches: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    for batch in batches:
        _refuse_long_texts(path, batch)
        for row in batch.to_pylist():
            number += 1
            yield (
                f"{path.name}: row {number}",
                {role: row[column] for role, column in chosen.items()},
            )


def _holds_much(pyarrow: Any, kind: Any) -> bool:
    """Tell a column of lists, structures or bytes."""
    return bool(
        pyarrow.types.is_nested(kind)
        or pyarrow.types.is_binary(kind)
        or pyarrow.types.is_large_binary(kind)
    )


def _refuse_bombs(name: str, metadata: Any, columns: set[str]) -> None:
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema.partition(".")[0] not in columns:
                continue
            if chunk.num_values > MOST_IN_ROW * group.num_rows:
                raise DataError(f"{name} has more than {MOST_IN_ROW:,} values in a row.")
            if chunk.num_values > MOST_VALUES or metadata.num_rows > MOST_VALUES:
                raise DataError(f"{name} has more than {MOST_VALUES:,} values; part it.")
            size, stored = chunk.total_uncompressed_size, chunk.total_compressed_size
            if size > SMALL and size > EXPANDS * stored:
                raise DataError(
                    f"{name} would unpack to {size:,} bytes from {stored:,}, which no table of "
                    f"pictures and texts does."
                )


def _refuse_long_texts(path: Path, batch: Any) -> None:
    from pyarrow import compute, types  # noqa: PLC0415

    for column in batch.columns:
        if types.is_dictionary(column.type):
            lengths = compute.binary_length(column.dictionary).take(column.indices)
            if (compute.sum(lengths).as_py() or 0) > MOST_TEXT:
                raise DataError(
                    f"{printable(str(path))} holds {len(batch)} texts of more than "
                    f"{MOST_TEXT:,} bytes together, which are no captions."
                )
