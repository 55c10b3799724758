"""The inverted file of a gallery's vectors on disk.

::

    inverted-<matcher>-<…>/
      inverted.json    of which vectors it is, how well it finds them, and checksums
      reduced.npy …    one file an array of ``Inverted``, memory-mapped
      sums.npy         checksums of the lists in ``reduced.npy``, each looked at when it is read

It is made from the vectors and from nothing else, so it can be lost. A file is never altered: the
folder's name has a checksum of the vectors' checksums, by which a reader sees whether it is of
these; one that is damaged is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from visita.artifact import read_sealed, write_sealed
from visita.durable import checksum_of, draft_beside, sync_folder, sync_tree
from visita.errors import DamagedError
from visita.gallery.captions import captions
from visita.gallery.columns import VECTOR, Live, Taken
from visita.gallery.discarding import discard
from visita.gallery.engines import named_engine
from visita.gallery.inverted import NEIGHBOURS, Inverted, neighbours
from visita.gallery.inverted_index import InvertedIndex
from visita.progress import say, say_once
from visita.store.store import FeatureStore
from visita.types import FloatArray, Matcher

CARD = "inverted.json"
REDUCED = "reduced"
SUMS = "sums"
ARRAYS = ("basis", "centroids", "starts", "rows", REDUCED, "lengths")
LARGE = 50_000
"""Vectors from which on looking at some of them is quicker than at all."""
LEARNT = 200
"""Captions that the file is made with; as many others tell how well it finds."""


@dataclass(frozen=True, eq=False)
class Kept:
    """An inverted file as it was read.

    Attributes
    ----------
    folder : Path
    inverted : Inverted
    recall : float
        The share of the ten best that it finds for captions it was not made with.
    sums : uint64 (l,) or None
        The checksum of each list in ``inverted.reduced``; None if all were looked at.
    """

    folder: Path
    inverted: Inverted
    recall: float
    sums: NDArray[np.uint64] | None

    @cached_property
    def _sound(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.inverted.centroids), np.bool_)

    def check(self, lists: NDArray[np.int64]) -> None:
        """Look at some lists, each once.

        Raises
        ------
        DamagedError
            If one is not as it was written.
        """
        if self.sums is None:
            return
        new = lists[~self._sound[lists]]
        if (_sums(self.inverted, new) != self.sums[new]).any():
            _discard(self.folder)  # lest it be opened again
            raise DamagedError(f"{self.folder} is damaged.")
        self._sound[new] = True

    def is_enough(self, count: int) -> bool:
        """Tell whether so few of ``count`` vectors are not in it that it need not be extended."""
        return count - len(self.inverted) <= max(LARGE // 25, len(self.inverted) // 100)


def is_wanting(store: FeatureStore, kept: Kept | None) -> bool:
    """Tell whether a store is to have an inverted file that it has not, or one of more vectors."""
    count = len(store.column(VECTOR))
    return not named_engine() and count > LARGE and not (kept and kept.is_enough(count))


def read_inverted(place: Path, store: FeatureStore, *, whole: bool = False) -> Kept | None:
    """Return the inverted file of the vectors in a store, if there is one and it is whole.

    Its lists are looked at when they are read, or now if ``whole``.
    """
    if named_engine():
        return None
    found = (_read(folder, store, whole=whole) for folder in _folders(place, store))
    return next(filter(None, found), None)


def _read(folder: Path, store: FeatureStore, *, whole: bool) -> Kept | None:
    if not (folder / CARD).exists():
        return None
    try:
        card = read_sealed(folder / CARD)
        if folder.name != _folder_name(store, card["vectors"]):
            return None
        by_list = SUMS in card["files"] and not whole
        if not _is_whole(folder, card, but=REDUCED if by_list else ""):
            raise DamagedError(f"{folder} is damaged.")
        arrays: dict[str, Any] = {name: _array(folder, name) for name in ARRAYS if name != REDUCED}
        reduced = _reduced(folder, (len(arrays["rows"]), arrays["basis"].shape[1]))
        inverted = Inverted(**arrays, reduced=reduced, **card["facts"])
        return Kept(folder, inverted, card["recall"], _array(folder, SUMS) if by_list else None)
    except FileNotFoundError:  # a writer took it away, as there is a newer one
        return None
    except (DamagedError, OSError, KeyError, TypeError, ValueError):
        say_once(f"{folder} is damaged: all vectors are looked at until it is made again")
        return None


def _array(folder: Path, name: str) -> NDArray[Any]:
    return np.asarray(np.load(folder / _file(name), mmap_mode="r", allow_pickle=False))


def _reduced(folder: Path, shape: tuple[int, int]) -> FloatArray:
    """Return the array that ends the file, whose header no checksum may have been looked at of."""
    path = folder / _file(REDUCED)
    start = path.stat().st_size - 4 * shape[0] * shape[1]
    if start < 0:
        raise DamagedError(f"{path} is damaged.")
    return np.asarray(np.memmap(path, np.float32, mode="r", offset=start, shape=shape))


def _sums(inverted: Inverted, lists: NDArray[np.int64]) -> NDArray[np.uint64]:
    starts, ends = inverted.starts[lists].tolist(), inverted.starts[lists + 1].tolist()
    parts = (inverted.reduced[slice(*ends)] for ends in zip(starts, ends, strict=True))
    return np.fromiter(
        (xxhash.xxh3_64_intdigest(part.data) for part in parts), np.uint64, len(lists)
    )


def damaged_inverted(place: Path) -> list[str]:
    """Return the names of inverted files that are not as they were written, which are deleted."""
    damaged = [folder for folder in place.glob("inverted-*") if not _is_sound(folder)]
    for folder in damaged:
        _discard(folder)
    return [folder.name for folder in damaged]


def _is_sound(folder: Path) -> bool:
    try:
        return _is_whole(folder, read_sealed(folder / CARD))
    except (DamagedError, OSError, KeyError, TypeError):
        return False


def _is_whole(folder: Path, card: Mapping[str, Any], but: str = "") -> bool:
    files = card["files"]
    names = {*ARRAYS, *files} - {but}
    return all(checksum_of(folder / _file(name)) == files[name] for name in names)


def keep_inverted(place: Path, store: FeatureStore, matcher: Matcher) -> None:
    """Make or extend the inverted file of the vectors in a store, where they are many.

    Raises
    ------
    OSError
        If the disk refuses.
    """
    if not is_wanting(store, read_inverted(place, store)):
        return
    kept = read_inverted(place, store, whole=True)
    vectors: Any = _live(store)
    say(f"{len(vectors):,} vectors are put into lists, to be searched quickly")
    asked = matcher.embed_texts(matcher.open_text_encoder().encode(captions(2 * LEARNT)))
    learnt = kept is not None and len(vectors) < 2 * kept.inverted.learnt_on
    inverted = (
        kept.inverted.extended(vectors)
        if kept and learnt
        else Inverted.build(vectors, asked[:LEARNT])
    )
    card = {
        "format": 2,
        "vectors": len(vectors),
        "facts": {"reach": inverted.reach, "learnt_on": inverted.learnt_on},
        "recall": recall(vectors, inverted, asked[LEARNT:]),
    }
    _write(place / _folder_name(store, len(vectors)), inverted, card)
    for folder in _folders(place, store):
        if folder.name != _folder_name(store, len(vectors)):
            _discard(folder)


def _live(store: FeatureStore) -> Live:
    column, (_, rows) = store.column(VECTOR), store.table()
    live = np.zeros(len(column), np.bool_)
    live[rows] = True
    return Live(column, live)


def recall(vectors: Any, inverted: Inverted, queries: FloatArray) -> float:
    """Return the share of the ten best of all vectors (n, d) that is found, in the mean."""
    found, _ = InvertedIndex(Taken.all_of(vectors), inverted).search(queries, NEIGHBOURS)
    best = neighbours(vectors, queries, NEIGHBOURS)
    return float(np.mean([np.isin(*rows).mean() for rows in zip(best, found, strict=True)]))


def _write(folder: Path, inverted: Inverted, card: dict[str, Any]) -> None:
    with draft_beside(folder) as draft:
        made = draft / folder.name
        made.mkdir()
        lists = np.arange(len(inverted.centroids))
        arrays = {name: getattr(inverted, name) for name in ARRAYS} | {SUMS: _sums(inverted, lists)}
        for name, array in arrays.items():
            np.save(made / _file(name), array)
        files = {name: checksum_of(made / _file(name)) for name in arrays}
        write_sealed(made / CARD, {**card, "files": files})
        sync_tree(made)
        _discard(folder)  # one that is damaged
        made.replace(folder)
        sync_folder(folder.parent)


def _discard(folder: Path) -> None:
    if folder.exists():
        with suppress(OSError):  # nobody may, or Windows keeps what a reader has open
            discard(folder)


def _folders(place: Path, store: FeatureStore) -> Iterator[Path]:
    yield from sorted(place.glob(f"{_prefix(store)}*"))


def _folder_name(store: FeatureStore, count: int) -> str:
    return f"{_prefix(store)}{store.checksum(VECTOR, count)}"


def _prefix(store: FeatureStore) -> str:
    return f"inverted-{store.folder.name.removeprefix('vectors-')}-"


def _file(name: str) -> str:
    return f"{name}.npy"
