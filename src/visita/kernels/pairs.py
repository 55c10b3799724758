"""Kernels on pairs of an image and a text, with the label 'they match' or 'they do not'.

A pair (i, t) has two kinds of kernels. Products, k_image(i, i') k_text(t, t'), call pairs
similar whose images and whose texts are (Ben-Hur & Noble, 2005, for pairs of proteins). Where
both sides have vectors of one space, a pair is also described by how these agree: by the
products of their entries, which a linear kernel weighs anew, and by the cosines in every
space, on which an RBF kernel bends the order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.brief import Brief
from visita.data.splits import label_components
from visita.errors import DataError
from visita.kernels.columns import Columns
from visita.kernels.functions import Kernel, Product
from visita.types import FloatArray

SCORES = "scores"
WIDTHS = (0.25, 1.0, 4.0)
"""Gammas of the RBF kernels on scores, in units of ``Columns.gamma``."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class MatchPairs(Brief):
    """Pairs to learn from, half of them true.

    Attributes
    ----------
    images, texts : int64 (p,)
        Rows of each pair.
    labels : int64 (p,)
        1 where they match, -1 where not.
    groups : int64 (p,)
        The component of the image: what hangs together belongs into one fold.
    """

    images: NDArray[np.int64]
    texts: NDArray[np.int64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Space(Brief):
    """Features of all images and all texts.

    Attributes
    ----------
    images, texts : float32 (n, d) and (m, e)
    shared : bool
        Both are unit vectors of one space, d = e, where an inner product is a cosine.

    Raises
    ------
    DataError
        If a shared space has vectors of two widths.
    """

    images: FloatArray
    texts: FloatArray
    shared: bool = True

    def __post_init__(self) -> None:
        widths = self.images.shape[1], self.texts.shape[1]
        if self.shared and widths[0] != widths[1]:
            raise DataError(
                f"Images have {widths[0]} and texts {widths[1]} columns: that is not one space; "
                "map them into one, or say shared=False."
            )


def sample_pairs(truth: sparse.csr_array, *, count: int | None = None, seed: int) -> MatchPairs:
    """Return ``count`` random true pairs (all, if there are fewer), and as many false ones.

    Each drawn image also meets a random text that neither matches it nor hangs together
    with it by any chain of true pairs, as the captions of the same picture in another
    file would.

    Parameters
    ----------
    truth : sparse bool (n, m)
    count : int or None
        None is all.
    seed : int

    Raises
    ------
    DataError
        If there is no true pair, or all texts hang together with one of the images.
    """
    images, texts = truth.nonzero()
    if not len(images):
        raise DataError("There is no true pair to learn from; check the truth.")
    rng = np.random.default_rng(seed)
    drawn = np.sort(rng.permutation(len(images))[:count])
    images, texts = images[drawn].astype(np.int64), texts[drawn].astype(np.int64)
    image_labels, text_labels = label_components(truth)
    groups = image_labels[images]
    order = np.argsort(text_labels, kind="stable")
    first = np.searchsorted(text_labels[order], groups, side="left")
    size = np.searchsorted(text_labels[order], groups, side="right") - first
    if (size == len(order)).any():
        raise DataError(
            "All texts hang together with one of the images, so it has no false pair; "
            "use more images, each with texts of its own."
        )
    # The k-th text outside the component: texts are in order of component, step over it.
    others = rng.integers(len(order) - size)
    false = order[others + np.where(others >= first, size, 0)]
    return MatchPairs(
        np.concatenate([images, images]),
        np.concatenate([texts, false]),
        np.repeat([1, -1], len(images)),
        np.concatenate([groups, groups]),
    )


def pair_columns(
    spaces: Mapping[str, Space], images: NDArray[np.int64], texts: NDArray[np.int64]
) -> Columns:
    """Return what kernels read of pairs: a row for each of ``images`` (p,) with ``texts`` (p,).

    Of each space S the columns ``S image`` and ``S text``; of shared ones also ``S product``,
    the products entry by entry, and over all of those ``scores``, their cosines.

    Raises
    ------
    DataError
        If there is no space.
    """
    named: dict[str, FloatArray] = {}
    scores: list[FloatArray] = []
    for name, space in spaces.items():
        named[f"{name} image"], named[f"{name} text"] = space.images[images], space.texts[texts]
        if space.shared:
            product = named[f"{name} product"] = named[f"{name} image"] * named[f"{name} text"]
            scores.append(product.sum(axis=1))
    if scores:
        named[SCORES] = np.stack(scores, axis=1)
    return Columns.stack(named)


def pair_kernels(columns: Columns) -> tuple[Kernel | Product, ...]:
    """Return kernels over the columns of ``pair_columns``: every kind, for every space.

    Gammas are numbers taken from these columns, so that the kernels stay the same for others.
    """
    kernels: list[Kernel | Product] = []
    for image in columns.spans:
        space, _, side = image.rpartition(" ")
        if side != "image":
            continue
        sides = (image, f"{space} text")
        kernels.append(Product(factors=tuple(columns.kernel("linear", on) for on in sides)))
        kernels.append(
            Product(
                factors=tuple(columns.kernel("rbf", on, gamma=columns.gamma(on)) for on in sides)
            )
        )
        if f"{space} product" in columns.spans:
            kernels.append(columns.kernel("linear", f"{space} product"))
    if SCORES in columns.spans:
        kernels.append(columns.kernel("linear", SCORES))
        gamma = columns.gamma(SCORES)
        kernels += [columns.kernel("rbf", SCORES, gamma=width * gamma) for width in WIDTHS]
    return tuple(kernels)
