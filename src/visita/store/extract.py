"""Features of a pair set, kept on disk by content: what was computed is never computed again."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visita.artifact import fingerprint_of, sha256_of
from visita.brief import Brief, counted
from visita.data.pairs import PairSet
from visita.encoders.contract import PictureEncoder, Rounded
from visita.encoders.joined_text import JoinedText, side_by_side
from visita.encoders.precision import FLOAT32
from visita.errors import DataError
from visita.home import cache_home
from visita.progress import bar, report_skipped, say
from visita.store.pictures import BATCH, RecipeEncoder
from visita.store.store import FeatureStore
from visita.types import FloatArray, Recipe, Skipped, TextEncoder, TextFeatures

PASSAGE = "passage"
TEXTS_AT_ONCE = 1024


@dataclass(frozen=True, repr=False)
class PairFeatures(Brief):
    """A pair set with its features, row by row.

    Attributes
    ----------
    pairs : PairSet
        Without the images that could not be read.
    columns : dict of (n, …) arrays
        One a column of the recipe, float32 pooled, float16 grids.
    texts : TextFeatures
    """

    pairs: PairSet
    columns: dict[str, FloatArray]
    texts: TextFeatures

    def take(self, split: str) -> PairFeatures:
        """Return the images and texts of one split, in their order."""
        pairs = self.pairs.take(split)
        images = np.flatnonzero(self.pairs.image_split == split)
        texts = np.flatnonzero(self.pairs.text_split == split)
        columns = {name: values[images] for name, values in self.columns.items()}
        return PairFeatures(pairs, columns, self.texts.take(texts))

    def of_images(self, images: NDArray[np.int64]) -> PairFeatures:
        """Return some images, by row, with their texts."""
        pairs = self.pairs.subset(images)
        texts = np.flatnonzero(self.pairs.truth[images].sum(axis=0))
        columns = {name: values[images] for name, values in self.columns.items()}
        return PairFeatures(pairs, columns, self.texts.take(texts))


def pair_features(
    pairs: PairSet,
    recipe: Recipe,
    text_encoder: TextEncoder,
    folder: str | Path | None = None,
) -> PairFeatures:
    """Return all features of ``pairs``, computing what ``folder`` does not hold yet.

    ``folder`` defaults to the cache, where each encoder's features are kept apart. Images that
    cannot be decoded are reported on stderr and left out, with the texts that then match nothing.

    Raises
    ------
    DataError
        If no image could be decoded.
    MismatchError
        If ``folder`` holds features of another recipe or other encoders.
    """
    pairs, columns = picture_features(pairs, recipe, folder)
    folder = folder or feature_folder(RecipeEncoder(recipe.by_encoder()[0]))
    return PairFeatures(pairs, columns, text_features(pairs.texts, text_encoder, folder))


def picture_features(
    pairs: PairSet, recipe: Recipe, folder: str | Path | None = None
) -> tuple[PairSet, dict[str, FloatArray]]:
    """Return the pairs whose images can be read, and their columns: ``pair_features``, no texts."""
    columns: dict[str, FloatArray] = {}
    for part in [recipe] if folder else recipe.by_encoder():
        before = pairs.image_ids
        pairs, more = image_features(pairs, RecipeEncoder(part), folder)
        readable = np.isin(before, pairs.image_ids)
        columns = {**{name: values[readable] for name, values in columns.items()}, **more}
    return pairs, columns


def image_features(
    pairs: PairSet, encoder: PictureEncoder, folder: str | Path | None = None
) -> tuple[PairSet, dict[str, FloatArray]]:
    """Return the pairs whose images can be read, and the columns of ``encoder`` for those.

    As ``pair_features``, for any encoder and without the texts.
    """
    place = Path(folder or feature_folder(encoder)) / "images"
    digests = extract_images(pairs.image_paths, encoder, place)
    store = FeatureStore.open(place)
    readable = np.flatnonzero([digest in store for digest in digests])
    readable_pairs = pairs if len(readable) == len(digests) else pairs.subset(readable)
    rows = np.array(store.rows(digests[row] for row in readable), np.int64)
    return readable_pairs, {name: np.asarray(store.column(name)[rows]) for name in store.columns}


def text_features(
    texts: Sequence[str], encoder: TextEncoder, folder: str | Path | None = None
) -> TextFeatures:
    """Return the features of texts alone, computing what ``folder`` (or the cache) has not."""
    return extract_texts(texts, encoder, Path(folder or cache_home() / "features"))


def feature_folder(encoder: PictureEncoder) -> Path:
    """Return the folder in the cache for features of this recipe and these encoders."""
    facts = {"columns": list(encoder.columns()), "facts": dict(encoder.facts())}
    return cache_home() / "features" / fingerprint_of(facts)


def extract_images(paths: Sequence[Path], encoder: PictureEncoder, folder: Path) -> list[str]:
    """Bring the store in ``folder`` to hold every picture; return each picture's key.

    The key is the SHA-256 of the file; a file that cannot be read or decoded has a key
    that the store does not hold. Interrupted or killed, it goes on where it was.

    Raises
    ------
    DataError
        If there are pictures and none could be used.
    """
    digests = [_digest(path) for path in paths]
    columns, facts = dict(encoder.columns()), dict(encoder.facts())
    with FeatureStore.open_or_create(
        folder, columns, facts, lambda store: not _missing(store, digests)
    ) as store:
        store.drop([digest for digest in _missing(store, digests) if digest in store])
        todo = {d: p for d, p in zip(digests, paths, strict=True) if d not in store}
        missing = [path for path in paths if not path.is_file()]
        readable = {d: p for d, p in todo.items() if p.is_file()}
        report_skipped(Skipped(str(path), "not a readable file") for path in missing)
        if readable:
            _extract(readable, encoder, store)
        if paths and not any(digest in store for digest in digests):
            raise DataError("None of the pictures could be read; see the reasons above.")
    return digests


def _missing(store: FeatureStore, ids: Sequence[str]) -> list[str]:
    """Return which ids a store does not have, or not as they were written."""
    there = [key for key in dict.fromkeys(ids) if key in store]
    return [key for key in ids if key not in store] + store.damaged(there)


def _extract(todo: dict[str, Path], encoder: PictureEncoder, store: FeatureStore) -> None:
    say(f"{counted(len(todo), 'picture')} to read, {len(store)} known; {_estimate(todo, encoder)}")
    with bar("features", len(todo)) as advance:
        for batch in encoder.encode(todo.items()):
            store.append(batch.keys, batch.columns, batch.skipped)
            report_skipped(Skipped(str(todo[s.item]), s.reason) for s in batch.skipped)
            advance(len(batch.keys) + len(batch.skipped))


def _estimate(todo: dict[str, Path], encoder: PictureEncoder) -> str:
    sample = list(todo.items())[: BATCH // 4]
    list(encoder.encode(sample[:1]))  # loads the networks, and exports those that torch alone has
    start = time.perf_counter()
    list(encoder.encode(sample))
    seconds = (time.perf_counter() - start) / len(sample) * len(todo)
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"


def _digest(path: Path) -> str:
    try:
        return sha256_of(path) if path.is_file() else f"unreadable {path}"
    except OSError:
        return f"unreadable {path}"


def extract_texts(texts: Sequence[str], encoder: TextEncoder, folder: Path) -> TextFeatures:
    """Return the features of ``texts``, from the store beside the images' or computed into it."""
    if isinstance(encoder, JoinedText):  # each has a store of its own, which others read too
        return side_by_side([extract_texts(texts, part, folder) for part in encoder.encoders])
    facts = {"encoder": encoder.name, "fingerprint": encoder.fingerprint(), **_precision(encoder)}
    place = folder / f"texts-{fingerprint_of([facts, list(encoder.levels)])}"
    digests = [sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in texts]
    levels = {**facts, "levels": list(encoder.levels)}
    first = [f"{digest}/0" for digest in digests]
    with FeatureStore.open_or_create(
        place,
        {PASSAGE: encoder.dim},
        levels,
        lambda store: not _missing(store, [*first, *store.ids]),
    ) as store:
        damaged = {key.partition("/")[0] for key in store.damaged()}
        store.drop([key for key in store.ids if key.partition("/")[0] in damaged])
        todo = {d: t for d, t in zip(digests, texts, strict=True) if f"{d}/0" not in store}
        reader = copy(encoder)  # its network, once loaded, lives no longer than this call
        with bar("texts", len(todo)) as advance:
            for batch in _batches(list(todo.items())):
                features = reader.encode([text for _, text in batch])
                names = _passage_ids([digest for digest, _ in batch], features.offsets)
                store.append(names, {PASSAGE: features.vectors})
                advance(len(batch))
        return _gather(store, digests)


def _batches(items: list[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    for start in range(0, len(items), TEXTS_AT_ONCE):
        yield items[start : start + TEXTS_AT_ONCE]


def _passage_ids(digests: Sequence[str], offsets: NDArray[np.int64]) -> list[str]:
    counts = np.diff(offsets)
    return [f"{d}/{k}" for d, n in zip(digests, counts, strict=True) for k in range(n)]


def _gather(store: FeatureStore, digests: Sequence[str]) -> TextFeatures:
    rows = _rows_by_text(store)
    spans = [rows[digest] for digest in digests]
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in spans])]).astype(np.int64)
    taken = np.array([row for span in spans for row in span], np.int64)
    return TextFeatures(offsets, np.asarray(store.column(PASSAGE)[taken]))


def _rows_by_text(store: FeatureStore) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    ids = store.ids  # the passages of a text were appended together, in their order
    for passage, row in zip(ids, store.rows(ids), strict=True):
        rows.setdefault(passage.partition("/")[0], []).append(row)
    return rows


def _precision(encoder: TextEncoder) -> dict[str, str]:
    """Return in what an encoder computes that may do so in less than float32, as some now do."""
    precision = encoder.precision() if isinstance(encoder, Rounded) else FLOAT32
    return {} if precision == FLOAT32 else {"precision": precision}
