"""Telling files that hold the same bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from visita.artifact import sha256_of
from visita.data.pairs import PairSet


def identical_files(paths: Sequence[Path]) -> list[list[int]]:
    """Return groups of two or more rows of ``paths`` whose files hold the same bytes.

    Only files of equal size are read; those that cannot be read are in no group.
    """
    sizes = ((row, _size(path)) for row, path in enumerate(paths))
    same_size = _groups((row, size) for row, size in sizes if size is not None)
    return [
        group for rows in same_size for group in _groups((row, _digest(paths[row])) for row in rows)
    ]


def interchangeable(pairs: PairSet) -> PairSet:
    """Return the pairs, what is true of a picture being true of its exact copies too.

    For measuring: whoever finds a copy has found the picture.
    """
    groups = identical_files(pairs.image_paths)
    if not groups:
        return pairs
    first = np.arange(len(pairs.image_ids))
    for rows in groups:
        first[rows] = rows[0]
    copies = sparse.csr_array((np.ones(len(first), np.int64), (np.arange(len(first)), first)))
    truth = sparse.csr_array(copies @ (copies.T @ pairs.truth.astype(np.int64)), dtype=bool)
    return replace(pairs, truth=truth)


def _groups(keyed: Iterable[tuple[int, Hashable]]) -> list[list[int]]:
    by_key: defaultdict[Hashable, list[int]] = defaultdict(list)
    for row, key in keyed:
        by_key[key].append(row)
    return [rows for rows in by_key.values() if len(rows) > 1]


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _digest(path: Path) -> Hashable:
    try:
        return sha256_of(path)
    except OSError:
        return object()  # equal to no other
