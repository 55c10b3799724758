"""Joining pair sets: a picture that is in several of them becomes one image.

The MKL-VisITA paper (section IV.A) links its data sets for this: they become compatible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.artifact import sha256_of
from visita.data.pairs import SPLITS, PairSet, label_components
from visita.errors import DataError, UnknownNameError, did_you_mean
from visita.types import Skipped

BY = ("content", "id")


def join_pairs(sets: Sequence[PairSet], by: str = "content") -> PairSet:
    """Return the images and texts of all sets; what is one picture is one image.

    An image keeps the id and file of the first set that has it, and gets the texts of all;
    the same words for the same images are one text. What now hangs together but was in
    several splits goes to test, else to dev, and is reported: nothing that is measured on
    was learnt from.

    Parameters
    ----------
    sets
        Two or more.
    by
        ``content``: pictures with the same bytes are one, and ids are kept apart, as
        ``set/id``. ``id``: pictures with the same id are one, whatever their bytes.

    Raises
    ------
    UnknownNameError
        If ``by`` is neither.
    DataError
        If there are fewer than two sets.
    """
    if by not in BY:
        raise UnknownNameError(
            f"Pictures are not joined by {by!r}.{did_you_mean(by, BY)} Known: {', '.join(BY)}."
        )
    if len(sets) < 2:
        raise DataError("Joining needs two data sets or more.")
    names = _names(sets)
    ids = [image for pair_set in sets for image in pair_set.image_ids]
    paths = [path for pair_set in sets for path in pair_set.image_paths]
    if by == "content":
        groups = identical_files(paths)
        owners = np.repeat(names, [len(pair_set.image_ids) for pair_set in sets])
        ids = [f"{owner}/{image}" for owner, image in zip(owners, ids, strict=True)]
    else:
        groups = _equal(ids)
    first = np.arange(len(ids))
    for group in groups:
        first[group] = group[0]
    rows, image_of = np.unique(first, return_inverse=True)
    texts, text_of, truth = _join_texts(sets, image_of)
    image_sides = _sides([pair_set.image_split for pair_set in sets])
    text_sides = _sides([pair_set.text_split for pair_set in sets])
    image_labels, text_labels = label_components(truth)
    sides = np.zeros(len(rows) + len(texts), dtype=np.int64)  # at least one a component
    np.maximum.at(sides, image_labels[image_of], image_sides)
    np.maximum.at(sides, text_labels[text_of], text_sides)
    new_sides = sides[image_labels][image_of]
    moved = (
        Skipped(ids[row], f"was in {SPLITS[image_sides[row]]}, is in {SPLITS[new_sides[row]]} now")
        for row in np.flatnonzero(new_sides != image_sides)
    )
    splits = np.array(SPLITS)
    return PairSet(
        source=f"{' joined with '.join(names)}: {', '.join(pair_set.source for pair_set in sets)}",
        image_ids=tuple(ids[row] for row in rows),
        image_paths=tuple(paths[row] for row in rows),
        texts=texts,
        truth=truth,
        image_split=splits[sides[image_labels]],
        text_split=splits[sides[text_labels]],
        problems=(*_problems(names, sets), *moved),
        languages={
            text: code for pair_set in reversed(sets) for text, code in pair_set.languages.items()
        },
    )


def _names(sets: Sequence[PairSet]) -> list[str]:
    """Return each set's reader, numbered from the second of its kind on."""
    readers = [pair_set.source.partition(":")[0] for pair_set in sets]
    counts = [readers[: at + 1].count(reader) for at, reader in enumerate(readers)]
    return [r if count == 1 else f"{r}-{count}" for r, count in zip(readers, counts, strict=True)]


def _equal(ids: Sequence[str]) -> list[list[int]]:
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        rows.setdefault(name, []).append(row)
    return list(rows.values())


def _join_texts(
    sets: Sequence[PairSet], image_of: NDArray[np.int64]
) -> tuple[tuple[str, ...], NDArray[np.int64], sparse.csr_array]:
    """Return the joined texts, the row of each text in them, and the joined truth."""
    links = sparse.block_diag([pair_set.truth for pair_set in sets], format="csc")
    rows: dict[tuple[tuple[int, ...], str], int] = {}
    text_of = []
    for column, text in enumerate(text for pair_set in sets for text in pair_set.texts):
        images = image_of[links.indices[links.indptr[column] : links.indptr[column + 1]]]
        key = (tuple(np.unique(images).tolist()), text)
        text_of.append(rows.setdefault(key, len(rows)))
    pairs = [(image, text) for (images, _), text in rows.items() for image in images]
    truth = sparse.csr_array(
        (np.ones(len(pairs), dtype=np.bool_), tuple(np.array(pairs, np.int64).reshape(-1, 2).T)),
        shape=(int(image_of.max()) + 1, len(rows)),
    )
    return tuple(text for _, text in rows), np.array(text_of), truth


def _sides(splits: Sequence[NDArray[np.str_]]) -> NDArray[np.int64]:
    return np.array(
        [SPLITS.index(split) for column in splits for split in column.tolist()], np.int64
    )


def _problems(names: Sequence[str], sets: Sequence[PairSet]) -> Iterator[Skipped]:
    for name, pair_set in zip(names, sets, strict=True):
        yield from (Skipped(f"{name}/{p.item}", p.reason) for p in pair_set.problems)


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
