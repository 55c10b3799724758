"""What is kept of each content, by its digest: the encoder's features and a matcher's vector.

Beside the vector a matcher that scores the first few again has the packed parts it does so by.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from visita.artifact import fingerprint_of
from visita.encoders.contract import PictureEncoder
from visita.errors import DamagedError, DataError, MismatchError
from visita.gallery.columns import PARTS, VECTOR
from visita.gallery.discarding import discard
from visita.gallery.inverted_files import keep_inverted, read_inverted
from visita.gallery.packing import Packing
from visita.gallery.snapshot import Vectors
from visita.progress import say, say_once
from visita.store.layout import Shapes, is_store
from visita.store.store import FeatureStore
from visita.types import FloatArray, Matcher

_BLOCK = 1024


class Stores:
    """The features of one recipe and the vectors of one matcher, open for writing."""

    def __init__(
        self, features: FeatureStore, packing: Packing, vectors: FeatureStore, matcher: Matcher
    ) -> None:
        self._features = features
        self._packing = packing
        self._vectors = vectors
        self._matcher = matcher

    def __contains__(self, digest: object) -> bool:
        return digest in self._vectors

    def __len__(self) -> int:
        return len(self._vectors)

    def __iter__(self) -> Iterator[str]:
        return iter(self._vectors)

    def add(self, digests: Sequence[str], columns: Mapping[str, FloatArray]) -> None:
        """Keep the features (b, d) of some contents and the vectors that follow from them."""
        kept = self._packing.pack(columns) if digests else {}
        new = [row for row, digest in enumerate(digests) if digest not in self._features]
        self._features.append([digests[row] for row in new], _rows_of(kept, new))
        if digests:
            self._embed(digests, self._packing.unpack(kept))

    def take_over(self, before: FeatureStore) -> None:
        """Keep the features that a gallery has as they were computed, but for what is damaged."""
        rows = before.intact()
        missing = [digest for digest in rows if digest not in self._features]
        stored = {name: before.column(name) for name in before.columns}
        for start in range(0, len(missing), _BLOCK):
            digests = missing[start : start + _BLOCK]
            columns = _rows_of(stored, [rows[digest] for digest in digests])
            self._features.append(digests, self._packing.pack(columns))

    def embed_stored(self, *, whole: bool) -> None:
        """Make the vectors that are missing or damaged, from features that are not.

        ``whole``: what is beside the vector is looked at too.
        """
        self._vectors.drop(self._vectors.damaged(columns=None if whole else [VECTOR]))
        missing = [digest for digest in self._features.ids if digest not in self._vectors]
        self._features.drop(self._features.damaged(missing))
        missing = [digest for digest in missing if digest in self._features]
        for start in range(0, len(missing), _BLOCK):
            digests = missing[start : start + _BLOCK]
            rows = self._features.rows(digests)
            stored = {name: self._features.column(name) for name in self._features.columns}
            self._embed(digests, self._packing.unpack(stored, rows))

    def drop_orphans(self, live: Container[str]) -> None:
        """Compact a store of which more than half is not in ``live``."""
        for store in (self._features, self._vectors):
            if 2 * sum(digest in live for digest in store.ids) < len(store):
                store.compact(live)

    def keep_inverted(self, place: Path) -> None:
        """Bring the inverted file of the gallery in ``place`` in step with the vectors.

        Raises
        ------
        OSError
            If the disk refuses.
        """
        keep_inverted(place, self._vectors, self._matcher)

    def checkpoint(self) -> None:
        """Let both stores be opened quickly, until they are added to; raises as ``add``."""
        self._features.checkpoint()
        self._vectors.checkpoint()

    def _embed(self, digests: Sequence[str], columns: Mapping[str, FloatArray]) -> None:
        rows: dict[str, NDArray[Any]] = {VECTOR: self._matcher.embed_images(columns)}
        if self._matcher.reranker:
            rows[PARTS] = self._matcher.reranker.pack_images(columns)
        self._vectors.append(digests, rows)


def _rows_of(columns: Mapping[str, NDArray[Any]], rows: Sequence[int]) -> dict[str, NDArray[Any]]:
    return {name: column[rows] for name, column in columns.items()}


@contextmanager
def open_stores(place: Path, matcher: Matcher, encoder: PictureEncoder) -> Iterator[Stores]:
    """Open, or make, the stores that a sync with this matcher and encoder writes to.

    Raises
    ------
    MismatchError
        If the encoder does not compute what the matcher needs.
    ArtifactError
        If another sync is running or the disk refuses.
    """
    columns, facts = dict(encoder.columns()), dict(encoder.facts())
    missing = [name for name in matcher.recipe.columns() if name not in columns]
    if missing:
        raise MismatchError(
            f"The matcher {matcher.name!r} needs {', '.join(missing)}, which the encoder does not "
            "compute: make the encoder from the matcher's own recipe."
        )
    made_by, packing = made_by_of(encoder), Packing(columns)
    with (
        _opened(place / f"features-{made_by}", packing.columns, facts | packing.facts) as features,
        _opened(
            vectors_folder(place, matcher.fingerprint()), _columns(matcher), {"features": made_by}
        ) as vectors,
    ):
        stores = Stores(features, packing, vectors, matcher)
        before = place / f"features-{_computed_by(encoder)}"
        if packing.facts and is_store(before):
            try:
                kept = FeatureStore.open(before)
            except DamagedError as error:
                say(f"{error} Its pictures are read again.")
            else:
                say(f"{place}: the features that are kept are packed into less room")
                stores.take_over(kept)
            discard(before)
        yield stores


def made_by_of(encoder: PictureEncoder) -> str:
    """Return the name, in a gallery, of what is kept of what an encoder computes."""
    computed, kept = _computed_by(encoder), Packing(encoder.columns()).facts
    return fingerprint_of({"computed": computed, **kept}) if kept else computed


def _computed_by(encoder: PictureEncoder) -> str:
    """Return that name in galleries that kept features as they were computed."""
    return fingerprint_of({"columns": dict(encoder.columns()), "facts": dict(encoder.facts())})


def _opened(folder: Path, columns: Shapes, facts: Mapping[str, Any]) -> FeatureStore:
    try:
        return FeatureStore.open_or_create(folder, columns, facts)
    except MismatchError:  # vectors of features made otherwise, or a header that was damaged
        discard(folder)
        return FeatureStore.create(folder, columns, facts)


def _columns(matcher: Matcher) -> Shapes:
    parts = {PARTS: matcher.reranker.packed_shape} if matcher.reranker else {}
    return {VECTOR: matcher.dim, **parts}


def vectors_folder(place: Path, matcher_fingerprint: str) -> Path:
    """Return where the gallery kept at ``place`` has the vectors of one matcher."""
    return place / f"vectors-{matcher_fingerprint}"


def read_vectors(place: Path, matcher_fingerprint: str, *, whole: bool = False) -> Vectors:
    """Open the vectors of one matcher for reading.

    ``whole``: what is beside the vector is read too, and has to be as it was written.

    Raises
    ------
    DataError
        If there are none that can be read.
    """
    folder = vectors_folder(place, matcher_fingerprint)
    try:
        if is_store(folder):
            store = FeatureStore.open(folder)
            kept = read_inverted(place, store, whole=whole)
            looked_at = store.columns if whole else [] if kept else [VECTOR]
            _, rows = store.table()
            return Vectors(store, store.altered(rows, looked_at), kept)
    except DamagedError as error:
        say_once(str(error))
    raise DataError("This gallery was never synchronized with this matcher: do that first.")


def vectors_made_by(made_by: str, vectors: Vectors, matcher: Matcher) -> bool:
    """Tell whether vectors are of features made by one encoder, and all that a matcher needs."""
    columns = {name: (d,) if isinstance(d, int) else d for name, d in _columns(matcher).items()}
    return vectors.store.facts == {"features": made_by} and vectors.store.columns == columns
