"""The inverted file of a gallery's vectors on disk.

::

    inverted-<matcher>-<…>/
      inverted.json    of which vectors it is, how well it finds them, and checksums
      reduced.npy …    one file an array of ``Inverted``, memory-mapped

It is made from the vectors and from nothing else, so it can be lost. A file is never altered: the
folder's name has a checksum of the vectors' checksums, by which a reader sees whether it is of
these; one that is damaged is as if it were not there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from visita.artifact import read_sealed, write_sealed
from visita.durable import checksum_of, draft_beside, sync_folder, sync_tree
from visita.errors import DamagedError
from visita.gallery.captions import captions
from visita.gallery.columns import VECTOR, Taken
from visita.gallery.engines import named_engine
from visita.gallery.inverted import NEIGHBOURS, Inverted, neighbours
from visita.gallery.inverted_index import InvertedIndex
from visita.progress import say, say_once
from visita.store.store import FeatureStore
from visita.types import FloatArray, Matcher

CARD = "inverted.json"
ARRAYS = ("basis", "centroids", "starts", "rows", "reduced", "lengths")
LARGE = 50_000
"""Vectors from which on looking at some of them is quicker than at all."""
LEARNT = 200
"""Captions that the file is made with; as many others tell how well it finds."""


@dataclass(frozen=True, eq=False)
class Kept:
    """An inverted file as it was read.

    Attributes
    ----------
    inverted : Inverted
    recall : float
        The share of the ten best that it finds for captions it was not made with.
    """

    inverted: Inverted
    recall: float

    def is_enough(self, count: int) -> bool:
        """Tell whether so few of ``count`` vectors are not in it that it need not be extended."""
        return count - len(self.inverted) <= max(LARGE // 25, len(self.inverted) // 100)


def is_wanting(store: FeatureStore, kept: Kept | None) -> bool:
    """Tell whether a store is to have an inverted file that it has not, or one of more vectors."""
    count = len(store.column(VECTOR))
    return not named_engine() and count > LARGE and not (kept and kept.is_enough(count))


def read_inverted(place: Path, store: FeatureStore) -> Kept | None:
    """Return the inverted file of the vectors in a store, if there is one and it is whole."""
    if named_engine():
        return None
    return next(filter(None, (_read(folder, store) for folder in _folders(place, store))), None)


def _read(folder: Path, store: FeatureStore) -> Kept | None:
    if not (folder / CARD).exists():
        return None
    try:
        card = read_sealed(folder / CARD)
        if folder.name != _folder_name(store, card["vectors"]):
            return None
        if not _is_whole(folder, card):
            raise DamagedError(f"{folder} is damaged.")
        arrays: dict[str, Any] = {
            name: np.asarray(np.load(folder / _file(name), mmap_mode="r", allow_pickle=False))
            for name in ARRAYS
        }
        return Kept(Inverted(**arrays, **card["facts"]), card["recall"])
    except FileNotFoundError:  # a writer took it away, as there is a newer one
        return None
    except (DamagedError, OSError, KeyError, TypeError, ValueError):
        say_once(f"{folder} is damaged: all vectors are looked at until it is made again")
        return None


def damaged_inverted(place: Path) -> list[str]:
    """Return the names of inverted files that are not as they were written, which are deleted."""
    damaged = [folder for folder in place.glob("inverted-*") if not _is_sound(folder)]
    for folder in damaged:
        shutil.rmtree(folder, ignore_errors=True)
    return [folder.name for folder in damaged]


def _is_sound(folder: Path) -> bool:
    try:
        return _is_whole(folder, read_sealed(folder / CARD))
    except (DamagedError, OSError, KeyError, TypeError):
        return False


def _is_whole(folder: Path, card: Mapping[str, Any]) -> bool:
    files = card["files"]
    return all(checksum_of(folder / _file(name)) == files[name] for name in ARRAYS)


def keep_inverted(place: Path, store: FeatureStore, matcher: Matcher) -> None:
    """Make or extend the inverted file of the vectors in a store, where they are many.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    kept = read_inverted(place, store)
    if not is_wanting(store, kept):
        return
    vectors = store.column(VECTOR)
    say(f"{len(vectors):,} vectors are put into lists, to be searched quickly")
    asked = matcher.embed_texts(matcher.open_text_encoder().encode(captions(2 * LEARNT)))
    learnt = kept is not None and len(vectors) < 2 * kept.inverted.learnt_on
    inverted = (
        kept.inverted.extended(vectors)
        if kept and learnt
        else Inverted.build(vectors, asked[:LEARNT])
    )
    card = {
        "format": 1,
        "vectors": len(vectors),
        "facts": {"reach": inverted.reach, "learnt_on": inverted.learnt_on},
        "recall": recall(Taken.all_of(vectors), inverted, asked[LEARNT:]),
    }
    _write(place / _folder_name(store, len(vectors)), inverted, card)
    for folder in _folders(place, store):
        if folder.name != _folder_name(store, len(vectors)):
            shutil.rmtree(folder, ignore_errors=True)


def recall(vectors: Taken, inverted: Inverted, queries: FloatArray) -> float:
    """Return the share of the ten best of all vectors that is found, in the mean of queries."""
    found, _ = InvertedIndex(vectors, inverted).search(queries, NEIGHBOURS)
    best = neighbours(vectors.column, queries, NEIGHBOURS)
    return float(np.mean([np.isin(*rows).mean() for rows in zip(best, found, strict=True)]))


def _write(folder: Path, inverted: Inverted, card: dict[str, Any]) -> None:
    with draft_beside(folder) as draft:
        made = draft / folder.name
        made.mkdir()
        for name in ARRAYS:
            np.save(made / _file(name), getattr(inverted, name))
        files = {name: checksum_of(made / _file(name)) for name in ARRAYS}
        write_sealed(made / CARD, {**card, "files": files})
        sync_tree(made)
        shutil.rmtree(folder, ignore_errors=True)  # one that is damaged
        made.replace(folder)
        sync_folder(folder.parent)


def _folders(place: Path, store: FeatureStore) -> Iterator[Path]:
    yield from sorted(place.glob(f"{_prefix(store)}*"))


def _folder_name(store: FeatureStore, count: int) -> str:
    return f"{_prefix(store)}{store.checksum(VECTOR, count)}"


def _prefix(store: FeatureStore) -> str:
    return f"inverted-{store.folder.name.removeprefix('vectors-')}-"


def _file(name: str) -> str:
    return f"{name}.npy"
