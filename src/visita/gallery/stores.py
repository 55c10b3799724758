"""What is kept of each content, by its digest: the encoder's features and a matcher's vector.

Beside the vector a matcher that scores the first few again has the packed parts it does so by.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from visita.artifact import fingerprint_of
from visita.errors import DataError, MismatchError
from visita.features.contract import PictureEncoder
from visita.features.layout import Shapes
from visita.features.store import FeatureStore
from visita.types import FloatArray, Matcher, TwoStage

VECTOR = "vector"
PARTS = "parts"
_BLOCK = 1024


class Stores:
    """The features of one recipe and the vectors of one matcher, open for writing."""

    def __init__(self, features: FeatureStore, vectors: FeatureStore, matcher: Matcher) -> None:
        self._features = features
        self._vectors = vectors
        self._matcher = matcher

    def __contains__(self, digest: object) -> bool:
        return digest in self._vectors

    def add(self, digests: Sequence[str], columns: Mapping[str, FloatArray]) -> None:
        """Keep the features (b, d) of some contents and the vectors that follow from them."""
        self._features.append(digests, columns)
        self._embed(digests, columns)

    def embed_stored(self) -> None:
        """Make the vectors that are missing, from features that are stored."""
        digests = self._features.ids
        rows = [row for row, digest in enumerate(digests) if digest not in self._vectors]
        for start in range(0, len(rows), _BLOCK):
            block = rows[start : start + _BLOCK]
            columns = {name: self._features.column(name)[block] for name in self._features.columns}
            self._embed([digests[row] for row in block], columns)

    def drop_orphans(self, live: Container[str]) -> None:
        """Compact a store of which more than half is not in ``live``."""
        for store in (self._features, self._vectors):
            if 2 * sum(digest in live for digest in store.ids) < len(store):
                store.compact(live)

    def _embed(self, digests: Sequence[str], columns: Mapping[str, FloatArray]) -> None:
        rows: dict[str, NDArray[Any]] = {VECTOR: self._matcher.embed_images(columns)}
        if isinstance(self._matcher, TwoStage):
            rows[PARTS] = self._matcher.second.pack_images(columns)
        self._vectors.append(digests, rows)


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
    made_by = fingerprint_of({"columns": columns, "facts": facts})
    with (
        FeatureStore.open_or_create(place / f"features-{made_by}", columns, facts) as features,
        _vectors(vectors_folder(place, matcher.fingerprint()), matcher, made_by) as vectors,
    ):
        yield Stores(features, vectors, matcher)


def _vectors(folder: Path, matcher: Matcher, features: str) -> FeatureStore:
    columns, facts = _columns(matcher), {"features": features}
    try:
        return FeatureStore.open_or_create(folder, columns, facts)
    except MismatchError:  # from features made otherwise: they follow anew from these
        discard(folder)
        return FeatureStore.create(folder, columns, facts)


def _columns(matcher: Matcher) -> Shapes:
    second = {PARTS: matcher.second.packed_shape} if isinstance(matcher, TwoStage) else {}
    return {VECTOR: matcher.dim, **second}


def discard(folder: Path) -> None:
    """Delete a folder; killed on the way, it leaves all of it or, out of sight, some."""
    aside = Path(tempfile.mkdtemp(prefix=".removed-", dir=folder.parent))
    folder.replace(aside / folder.name)
    shutil.rmtree(aside)


def vectors_folder(place: Path, matcher_fingerprint: str) -> Path:
    """Return where the gallery kept at ``place`` has the vectors of one matcher."""
    return place / f"vectors-{matcher_fingerprint}"


def read_vectors(place: Path, matcher_fingerprint: str) -> FeatureStore:
    """Open the vectors of one matcher for reading.

    Raises
    ------
    DataError
        If there are none.
    """
    folder = vectors_folder(place, matcher_fingerprint)
    if not folder.exists():
        raise DataError("This gallery was never synchronized with this matcher: do that first.")
    return FeatureStore.open(folder)
