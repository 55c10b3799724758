"""Features of pictures augmented or made worse on purpose; the pictures are never kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import sparse

from visita.artifact import fingerprint_of, sha256_of
from visita.data.augment import RULES as AUGMENTED
from visita.data.augment import Patchwork, cropped, generator, mirrored
from visita.data.corruptions import CORRUPTIONS, corrupt
from visita.data.corruptions import RULES as CORRUPTED
from visita.data.decode import decode
from visita.data.pairs import PairSet
from visita.errors import DataError
from visita.store.extract import feature_folder, image_features
from visita.store.pictures import Item, RecipeEncoder
from visita.types import FloatArray, Recipe


@dataclass(frozen=True)
class View:
    """One more view of n pictures.

    Attributes
    ----------
    columns : dict of (n, …) arrays
        As of the pictures themselves.
    made_of : csr float32 (n, n)
        How much of the area of the view of one picture is which picture; rows sum to 1.
    """

    columns: dict[str, FloatArray]
    made_of: sparse.csr_array


class AugmentedEncoder(RecipeEncoder):
    """What ``plain`` computes, from one of ``visita.data.augment.VIEWS`` of each picture.

    Its features have a folder of their own in the cache. The networks are those of ``plain``.

    Parameters
    ----------
    files : mapping
        Key → file of all pictures that RICAP may take patches of.
    """

    def __init__(self, plain: RecipeEncoder, view: str, files: Mapping[str, Path]) -> None:
        self.recipe = plain.recipe
        self._networks = plain._networks
        self.view = view
        self.files = files
        self._keys = sorted(files)

    def facts(self) -> Mapping[str, Any]:
        """Return what ``plain`` does, the view, and for RICAP which pictures there are."""
        among = fingerprint_of(self._keys) if self.view == "ricap" else None
        return {**super().facts(), "view": f"{AUGMENTED}/{self.view}", "among": among}

    @contextmanager
    def read(self, item: Item, *, reduced: bool) -> Iterator[Image.Image]:
        """Lend the view of one ``(key, file)`` in RGB.

        Raises
        ------
        PictureError
            If a picture cannot be decoded.
        """
        key, _ = item
        if self.view == "ricap":
            keys, patchwork = self.patches(key)
            yield patchwork.of([decode(self.files[source], reduced=reduced) for source in keys])
            return
        with super().read(item, reduced=reduced) as picture:
            shown = mirrored(picture) if "flip" in self.view else picture
            yield cropped(shown, generator(self.view, key)) if "crop" in self.view else shown

    def patches(self, key: str) -> tuple[list[str], Patchwork]:
        """Return the keys of the four pictures of a RICAP view, its own first, and their places."""
        rng = generator(self.view, key)
        others = [self._keys[row] for row in rng.integers(0, len(self._keys), 3)]
        return [key, *others], Patchwork.draw(rng)


def view_features(
    pairs: PairSet, recipe: Recipe, views: Sequence[str], folder: str | Path | None = None
) -> Iterator[View]:
    """Yield views of the pictures of ``pairs``, computing what is not stored yet.

    Parameters
    ----------
    pairs : PairSet
        All of its pictures can be read.
    views : sequence of str
        Of ``visita.data.augment.VIEWS``.
    folder
        Where features are kept; the cache by default.

    Raises
    ------
    DataError
        If a picture can no longer be read.
    """
    keys = [sha256_of(path) for path in pairs.image_paths]
    files = dict(zip(keys, pairs.image_paths, strict=True))
    plain = [RecipeEncoder(part) for part in recipe.by_encoder()]
    for view in views:
        columns: dict[str, FloatArray] = {}
        made_of = sparse.eye_array(len(keys), dtype=np.float32, format="csr")
        for encoder in (AugmentedEncoder(base, view, files) for base in plain):
            place = feature_folder(encoder)
            readable, more = image_features(
                pairs, encoder, Path(folder, place.name) if folder else place
            )
            if readable is not pairs:
                raise DataError("A picture changed while its views were computed; run again.")
            columns |= more
            if view == "ricap":
                made_of = _shares(encoder, keys)
        yield View(columns, made_of)


def _shares(encoder: AugmentedEncoder, keys: Sequence[str]) -> sparse.csr_array:
    rows = {key: row for row, key in enumerate(keys)}
    drawn = [encoder.patches(key) for key in keys]
    shares = np.concatenate([patchwork.shares() for _, patchwork in drawn]).astype(np.float32)
    sources = np.array([rows[key] for patch_keys, _ in drawn for key in patch_keys])
    places = np.repeat(np.arange(len(keys)), 4), sources
    # A picture that was drawn twice has both shares: they are added up.
    return sparse.csr_array((shares, places), shape=(len(keys), len(keys)))


class CorruptedEncoder(RecipeEncoder):
    """What ``plain`` computes, from pictures with a corruption at a strength of 1 to 5.

    Its features have a folder of their own in the cache, as ``facts`` names the corruption.
    The networks are those of ``plain``, so that any number of corruptions loads them once.
    """

    def __init__(self, plain: RecipeEncoder, corruption: str, strength: int) -> None:
        self.recipe = plain.recipe
        self._networks = plain._networks
        self.corruption = corruption
        self.strength = strength

    def facts(self) -> Mapping[str, Any]:
        """Return what ``plain`` does, and the corruption."""
        amount = CORRUPTIONS[self.corruption].amounts[self.strength - 1]
        return {**super().facts(), "corruption": f"{CORRUPTED}/{self.corruption}/{amount}"}

    @contextmanager
    def read(self, item: Item, *, reduced: bool) -> Iterator[Image.Image]:
        """Lend the corrupted picture of one ``(key, file)`` in RGB.

        Raises
        ------
        PictureError
            If it cannot be decoded.
        """
        key, _ = item
        with super().read(item, reduced=reduced) as picture:
            yield corrupt(picture, self.corruption, self.strength, key)
