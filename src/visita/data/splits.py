"""Drawing train, dev and test such that nothing is on two sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from visita.errors import DataError

SPLITS = ("train", "dev", "test")


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
