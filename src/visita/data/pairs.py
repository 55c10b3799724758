"""Images and texts, which of them match, and who is in train, dev and test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from visita.arguments import one_of
from visita.artifact import fingerprint_of
from visita.brief import brief, counted
from visita.errors import ConfigError, DataError
from visita.types import Skipped


@dataclass(frozen=True, eq=False, repr=False)
class PairSet:
    """n images and m texts that match many to many.

    Its ``len`` is the number of true pairs, and iterating gives each as a path and a text.

    Attributes
    ----------
    source
        Where they came from, such as ``flickr8k:/data/flickr8k``.
    image_ids : n
        Unique names that do not change with the folder's place.
    image_paths : n
    texts : m
    truth : sparse bool (n, m)
        Which image and text belong together.
    image_split : str (n,)
    text_split : str (m,)
        ``train``, ``dev`` or ``test``.
    problems
        What the reader left out or found odd, and why.
    languages
        That of each text by its words, where the data say so; other words may be there too.

    Raises
    ------
    DataError
        If the parts do not fit together.

    Examples
    --------
    >>> pairs = visita.open_pairs("folder:mypairs")
    >>> pairs.splits(), len(pairs.take("test").texts)
    ({'train': 28, 'dev': 6, 'test': 6}, 18)
    >>> next(iter(pairs))[1]
    'a green circle and a purple stripe on a yellow background'
    """

    source: str
    image_ids: tuple[str, ...]
    image_paths: tuple[Path, ...]
    texts: tuple[str, ...]
    truth: sparse.csr_array
    image_split: NDArray[np.str_]
    text_split: NDArray[np.str_]
    problems: tuple[Skipped, ...] = ()
    languages: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images, texts = len(self.image_ids), len(self.texts)
        sizes = (self.truth.shape, len(self.image_paths), self.image_split.shape)
        if (*sizes, self.text_split.shape) != ((images, texts), images, (images,), (texts,)):
            raise DataError(f"{self.source}: images, texts, truth and splits differ in size.")
        if len(set(self.image_ids)) != images:
            raise DataError(f"{self.source}: image ids are not unique.")
        unknown = {*self.image_split.tolist(), *self.text_split.tolist()} - set(SPLITS)
        if unknown:
            raise DataError(f"{self.source}: a split is {', '.join(SPLITS)}; not {min(unknown)!r}.")

    def __len__(self) -> int:
        """Return the number of true pairs."""
        return int(self.truth.nnz)

    def __iter__(self) -> Iterator[tuple[Path, str]]:
        """Yield the true pairs, each an image's path and a text, image by image."""
        images, texts = self.truth.sorted_indices().nonzero()
        for image, text in zip(images.tolist(), texts.tolist(), strict=True):
            yield self.image_paths[image], self.texts[text]

    def __repr__(self) -> str:
        """Return where the pairs are from and how many there are, in one line."""
        splits = ", ".join(f"{split} {size}" for split, size in self.splits().items())
        images = f"{counted(len(self.image_ids), 'image')} ({splits})"
        rest = f"{counted(len(self.texts), 'text')}, {counted(len(self), 'pair')}"
        return f"<PairSet {brief(self.source)}: {images}, {rest}>"

    def splits(self) -> dict[str, int]:
        """Return the number of images in train, dev and test."""
        return {split: int((self.image_split == split).sum()) for split in SPLITS}

    @property
    def text_languages(self) -> tuple[str, ...]:
        """The language of each text (m), ``""`` where the data do not say."""
        return tuple(self.languages.get(text, "") for text in self.texts)

    def take(self, split: str) -> PairSet:
        """Return the images and texts of one split, in their order; problems stay behind.

        Raises
        ------
        UnknownNameError
            If there is no such split.
        DataError
            If it has no image.
        """
        one_of(split, "split", SPLITS)
        sizes = self.splits()
        if not sizes[split]:
            listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise DataError(
                f"{self.source} has no images in split {split!r}; images by split: {listed}."
                f"{_choices(self.source) if split == 'test' else ''}"
            )
        return self._pick(
            np.flatnonzero(self.image_split == split), np.flatnonzero(self.text_split == split)
        )

    def subset(self, image_rows: NDArray[np.int64]) -> PairSet:
        """Return the images ``image_rows``, in that order, and all texts that match any of them.

        Texts keep their order; problems stay behind.
        """
        matched = self.truth[image_rows].sum(axis=0) > 0
        return self._pick(image_rows, np.flatnonzero(matched))

    def some_images(self, most: int | None, seed: int) -> NDArray[np.int64]:
        """Return the rows of at most so many images, drawn at random, in order; None is all."""
        drawn = np.random.default_rng(seed).permutation(len(self.image_ids))[:most]
        return np.asarray(np.sort(drawn), np.int64)

    def components(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return a label for each image, int64 (n,), and each text, int64 (m,), from 0.

        Equal labels are joined by a chain of matching pairs; a split never parts them.
        """
        return label_components(self.truth)

    def fingerprint(self) -> str:
        """Return 16 hex digits over ids, texts and their languages, truth and splits.

        Where the files lie does not matter.
        """
        truth = self.truth.sorted_indices()
        languages = self.text_languages
        return fingerprint_of(
            {
                "images": self.image_ids,
                "texts": self.texts,
                "truth": [truth.indptr.tolist(), truth.indices.tolist()],
                "splits": [self.image_split.tolist(), self.text_split.tolist()],
                # Data without any keep the fingerprint that they had before there were any.
                **({"languages": languages} if any(languages) else {}),
            }
        )

    def _pick(self, images: NDArray[np.int64], texts: NDArray[np.int64]) -> PairSet:
        return PairSet(
            source=self.source,
            image_ids=tuple(self.image_ids[row] for row in images),
            image_paths=tuple(self.image_paths[row] for row in images),
            texts=tuple(self.texts[row] for row in texts),
            truth=self.truth[images][:, texts],
            image_split=self.image_split[images],
            text_split=self.text_split[texts],
            languages=self.languages,
        )


SPLITS = ("train", "dev", "test")
VAL = "val"
"""What many data sets call dev."""


def _choices(source: str) -> str:
    """Return what to measure COCO on, whose captions for test were never published."""
    if source.partition(":")[0] != "coco":
        return ""
    return (
        " COCO's captions for test were never published: choose its val by --split val, all by "
        "--split all, a drawn 70 / 15 / 15 by coco-drawn:PATH and --seed, or Karpathy's 5,000 by "
        "karpathy-with-restval:dataset_coco.json."
    )


def label_components(truth: sparse.csr_array) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Label what hangs together: images and texts joined by any chain of true pairs.

    Parameters
    ----------
    truth : sparse bool (n, m)

    Returns
    -------
    image_labels : int64 (n,)
    text_labels : int64 (m,)
        Labels count from 0; an image without texts is a component of its own.
    """
    images, texts = truth.shape
    rows, columns = truth.nonzero()
    size = images + texts
    links = (np.ones(len(rows), dtype=np.int8), (rows, columns + images))
    graph = sparse.coo_array(links, shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    return labels[:images].astype(np.int64), labels[images:].astype(np.int64)


def split_by_component(
    truth: sparse.csr_array,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Draw a split such that no image and no text of a component is on two sides.

    Components are placed from large to small, in a random order among equals, each where
    most images are still missing; so the counts of images come as near to ``fractions`` as
    components allow, and no split with a fraction stays empty while components last.

    Parameters
    ----------
    truth : sparse bool (n, m)
    fractions
        Of the images, for train, dev and test; not negative, with sum 1.

    Returns
    -------
    image_split : str (n,)
    text_split : str (m,)

    Raises
    ------
    DataError
        If ``fractions`` are not such.
    """
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise DataError(f"Split fractions {fractions} should be three, none negative, with sum 1.")
    image_labels, text_labels = label_components(truth)
    components = 1 + max(image_labels.max(initial=-1), text_labels.max(initial=-1))
    sizes = np.bincount(image_labels, minlength=components)
    shuffled = np.random.default_rng(seed).permutation(components)
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    sides = np.zeros(components, dtype=np.int64)  # texts without an image stay in train
    with_images = order[: np.count_nonzero(sizes)]
    sides[with_images] = _place(sizes[with_images].tolist(), fractions)
    names = np.array(SPLITS)
    return names[sides[image_labels]], names[sides[text_labels]]


def _place(sizes: list[int], fractions: tuple[float, ...]) -> list[int]:
    missing = [fraction * sum(sizes) for fraction in fractions]
    empty = {side for side, fraction in enumerate(fractions) if fraction > 0}
    wanted = sorted(empty)
    sides = []
    for placed, size in enumerate(sizes):
        last_chance = len(sizes) - placed <= len(empty)
        side = max(sorted(empty) if last_chance else wanted, key=lambda side: missing[side])
        missing[side] -= size
        empty.discard(side)
        sides.append(side)
    return sides


LEAST = 2
"""Images that share no text: an interval, or a probability, needs as many."""
HALVED = 2 * LEAST
"""Of a split of which each half is measured by what the other teaches."""


def check_enough(pairs: PairSet, least: Mapping[str, int], doing: str) -> None:
    """Refuse data with too few images that share no text.

    Parameters
    ----------
    least
        How many are needed, by split; ``all`` is the whole.
    doing
        What is to be done, to begin a sentence with.

    Raises
    ------
    DataError
        If there are fewer, or a split is empty.
    """
    for split in least:
        if pairs.splits().get(split) == 0:
            pairs.take(split)  # which says what there is instead
    counts = {split: _apart(pairs, split) for split in least}
    if any(counts[split] < count for split, count in least.items()):
        wanted = ", ".join(f"{split} {count}" for split, count in least.items())
        there = ", ".join(f"{split} {count}" for split, count in counts.items())
        raise DataError(
            f"{doing} needs at least so many images with texts of their own: {wanted}; "
            f"{pairs.source} has {there}. Add pairs; splits that are drawn take 70 / 15 / 15 %."
        )


def _apart(pairs: PairSet, split: str) -> int:
    """Return how many images of a split have texts that no other image has."""
    labels, _ = pairs.components()
    texted = np.diff(pairs.truth.tocsr().indptr) > 0
    inside = texted if split == "all" else texted & (pairs.image_split == split)
    return len(np.unique(labels[inside]))


def held_out(pairs: PairSet, split: str, seed: int) -> PairSet:
    """Return the pairs with ``split`` as test; where that was dev, a tenth of train becomes dev.

    So the pictures that are measured never choose an epoch.

    Raises
    ------
    ConfigError
        If ``split`` is train, or unknown.
    DataError
        If a split is empty.
    """
    if one_of(split, "split", SPLITS) == "train":
        raise ConfigError("Measure on dev or on test; 'train' is what was learnt from.")
    if split == "test":
        return pairs.subset(np.arange(len(pairs.image_ids)))  # without texts that match nothing
    pairs = pairs.subset(np.flatnonzero(pairs.image_split != "test"))
    chosen, read = split_by_component(pairs.take("train").truth, (0.9, 0.1, 0.0), seed)
    images, texts = (np.where(s == "dev", "test", s) for s in (pairs.image_split, pairs.text_split))
    images[images == "train"], texts[texts == "train"] = chosen, read
    return replace(pairs, image_split=images, text_split=texts)
