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
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from visita.brief import Brief
from visita.data.pairs import label_components
from visita.errors import DataError, UnknownNameError, did_you_mean
from visita.kernels.functions import Kernel, Product
from visita.types import FloatArray


@dataclass(frozen=True, eq=False, repr=False)
class Columns(Brief):
    """Several (n, d_k) features of the same n rows in one matrix.

    Attributes
    ----------
    values : float32 (n, sum of d_k)
    spans : mapping of str to (int, int)
        Where each name's columns are, end exclusive.
    """

    values: FloatArray
    spans: Mapping[str, tuple[int, int]]

    @classmethod
    def stack(cls, named: Mapping[str, FloatArray]) -> Self:
        """Lay float (n, d_k) features side by side, in their order.

        Raises
        ------
        DataError
            If there are none, or their rows are not as many.
        """
        if not named or len({len(part) for part in named.values()}) > 1:
            counts = ", ".join(f"{name} {len(part)}" for name, part in named.items())
            raise DataError(
                f"Columns need features of the same rows; there are {counts or 'none'}."
            )
        ends = np.cumsum([part.shape[1] for part in named.values()]).tolist()
        spans = dict(zip(named, zip([0, *ends], ends, strict=False), strict=True))
        return cls(np.concatenate(list(named.values()), axis=1).astype(np.float32), spans)

    def kernel(self, function: str, on: str, **parameters: float) -> Kernel:
        """Return a kernel over the columns called ``on``.

        Raises
        ------
        UnknownNameError
            If there are no such columns, or no such function.
        ConfigError
            If the function cannot have these parameters.
        """
        return Kernel.model_validate(
            {"function": function, "on": on, "span": self._span(on), **parameters}
        )

    def gamma(self, on: str) -> float:
        """Return 1 / (width × variance) of some columns, scikit-learn's ``scale``; 1 if constant.

        At this gamma an RBF kernel neither calls all rows equal nor each row unique.

        Raises
        ------
        UnknownNameError
            If there are no such columns.
        """
        read = self.values[:, slice(*self._span(on))]
        spread = float(read.var(axis=0, dtype=np.float64).sum())
        return 1 / spread if spread else 1.0

    def _span(self, on: str) -> tuple[int, int]:
        if on not in self.spans:
            raise UnknownNameError(
                f"No columns are called {on!r}.{did_you_mean(on, self.spans)} "
                f"Known: {', '.join(self.spans)}."
            )
        return self.spans[on]


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
    parts: dict[str, FloatArray] = {}
    scores: list[FloatArray] = []
    for name, space in spaces.items():
        parts[f"{name} image"], parts[f"{name} text"] = space.images[images], space.texts[texts]
        if space.shared:
            product = parts[f"{name} product"] = parts[f"{name} image"] * parts[f"{name} text"]
            scores.append(product.sum(axis=1))
    if scores:
        parts[SCORES] = np.stack(scores, axis=1)
    return Columns.stack(parts)


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
