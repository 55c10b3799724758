"""The files of a feature store: the header, and one file a column."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.artifact import read_json
from visita.durable import sync_folder
from visita.errors import ArtifactError, MismatchError

FORMAT = 1
HEADER = "store.json"
JOURNAL = "journal.jsonl"

Shapes = Mapping[str, int | tuple[int, ...]]


class Column:
    """One file of rows: name, shape (without the first axis) and dtype."""

    def __init__(self, name: str, facts: Mapping[str, Any]) -> None:
        self.name = name
        self.file: str = facts["file"]
        self.shape = tuple(int(side) for side in facts["shape"])
        self.dtype = np.dtype(facts["dtype"])
        self.row_bytes: int = math.prod(self.shape) * self.dtype.itemsize

    def map(self, folder: Path, rows: int) -> NDArray[Any]:
        """Return the first rows of the file as a read-only memory map, (rows, …).

        Raises
        ------
        ArtifactError
            If the file is shorter than that.
        """
        path = folder / self.file
        if path.stat().st_size < rows * self.row_bytes:
            raise ArtifactError(
                f"{path} is shorter than the {rows} rows its journal promises: delete "
                f"{folder.parent} and run again to make it anew."
            )
        if not rows:  # an empty file cannot be mapped
            return np.empty((0, *self.shape), self.dtype)
        return np.memmap(path, self.dtype, mode="r", shape=(rows, *self.shape))


def header_of(columns: Shapes, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the header of a new store, as JSON gives it back (lists for tuples)."""
    parts = {name: _column_facts(i, name, shape) for i, (name, shape) in enumerate(columns.items())}
    header = {"format": FORMAT, "data": "data-1", "columns": parts, "facts": dict(facts)}
    as_json: dict[str, Any] = json.loads(json.dumps(header))
    return as_json


def _column_facts(number: int, name: str, shape: int | tuple[int, ...]) -> dict[str, Any]:
    row = (shape,) if isinstance(shape, int) else shape
    safe = re.sub(r"[^A-Za-z0-9]+", "-", name)[:60].strip("-")
    dtype = "float32" if len(row) == 1 else "float16"
    return {"file": f"{number:02d}-{safe}", "shape": row, "dtype": dtype}


def read_header(folder: Path) -> dict[str, Any]:
    """Return the header of the store in ``folder``.

    Raises
    ------
    ArtifactError
        If there is none or it is of a newer format.
    """
    if not (folder / HEADER).is_file():
        raise ArtifactError(f"{folder} is not a feature store: it has no {HEADER}.")
    header = read_json(folder / HEADER)
    if header.get("format", 0) > FORMAT:
        raise ArtifactError(f"{folder} was written by a newer visita; upgrade to read it.")
    return header


def check_same(folder: Path, there: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compare what a store was made with to what is wanted now.

    Raises
    ------
    MismatchError
        If anything differs; the message names each difference with both values.
    """
    old, new = _flat(there), _flat(wanted)
    names = [*old, *(name for name in new if name not in old)]
    differences = [
        f"{name} is {old.get(name, 'absent')} there, {new.get(name, 'absent')} here"
        for name in names
        if old.get(name) != new.get(name)
    ]
    if differences:
        raise MismatchError(
            f"{folder} was made with other settings: {'; '.join(differences)}. "
            "Use the settings it was made with, or choose another folder."
        )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    # {"a": {"b": 1}} becomes {"a.b": "1"}: leaves as JSON, so that 1, 1.0 and "1" differ.
    leaves: dict[str, str] = {}
    for name, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            leaves |= _flat(inner, f"{prefix}{name}.")
        else:
            leaves[prefix + name] = json.dumps(inner, ensure_ascii=False, sort_keys=True)
    return leaves


def make_data(folder: Path, header: Mapping[str, Any]) -> None:
    """Make the folder ``data-…`` with empty columns and an empty journal."""
    folder.mkdir()
    for facts in header["columns"].values():
        (folder / facts["file"]).touch()
    (folder / JOURNAL).touch()
    sync_folder(folder)
