"""Kernel functions by name, their products and weighted sums, as values one can save.

Each of these is a frozen description that is called on rows of features and gives a Gram
matrix. All are positive semi-definite, whatever their parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from sklearn.metrics.pairwise import manhattan_distances

from visita.arguments import Frozen
from visita.errors import ConfigError, DataError
from visita.kernels import KERNELS
from visita.types import FloatArray

Gram = NDArray[np.float64]
Rows = FloatArray | NDArray[np.float64]

PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "polynomial": ("degree", "gamma", "coef0"),
    "rbf": ("gamma",),
    "laplacian": ("gamma",),
    "chi2": ("gamma",),
}
"""What can be set; scikit-learn's values are the defaults."""
HISTOGRAMS = ("chi2", "intersection")
"""Kernels between histograms, which have no negative entries."""


class Kernel(Frozen):
    """One kernel function over some of the columns.

    Attributes
    ----------
    function : str
        A name of ``KERNELS``.
    gamma : float or None
        Of polynomial, rbf, laplacian and chi2, above 0; None is 1 / (columns read), for chi2 1.
    degree : int or None
        Of polynomial, from 1; None is 3.
    coef0 : float or None
        Of polynomial, from 0; None is 1.
    span : (int, int) or None
        The columns it reads, end exclusive; None is all.
    on : str
        What a person calls these columns.

    Raises
    ------
    UnknownNameError
        If there is no such function.
    ConfigError
        If a parameter is out of range, or the function has no such parameter.
    """

    model_config = ConfigDict(
        allow_inf_nan=True
    )  # what is refused here is told in words of kernels

    function: str
    gamma: float | None = None
    degree: int | None = None
    coef0: float | None = None
    span: tuple[int, int] | None = None
    on: str = ""

    @property
    def name(self) -> str:
        """What a person reads, such as ``rbf(gamma=0.5) on head:avg``."""
        settings = ", ".join(f"{key}={value:.3g}" for key, value in self._parameters().items())
        columns = self.on or (f"columns {self.span[0]}:{self.span[1]}" if self.span else "")
        call = f"{self.function}({settings})" if settings else self.function
        return f"{call} on {columns}" if columns else call

    def __call__(self, rows: Rows, others: Rows | None = None) -> Gram:
        """Return k(x, z) for all rows x (q, d) and z (n, d), float64 (q, n).

        Without ``others`` it is the Gram matrix of the rows.

        Raises
        ------
        DataError
            If the span leaves the columns, a value is not finite, or chi2 or intersection
            meets a negative one.
        """
        left = self.read(rows)
        right = None if others is None else self.read(others)
        function = KERNELS.load(self.function)
        return np.asarray(function(left, right, **self._parameters()), np.float64)

    def read(self, rows: Rows) -> NDArray[np.float64]:
        """Return the columns that it reads of rows (q, d), float64; raises as a call does."""
        rows = np.asarray(rows, np.float64)
        if rows.ndim != 2 or (self.span and self.span[1] > rows.shape[1]):
            raise DataError(
                f"{self.name} does not fit rows of shape {rows.shape}; "
                "give (rows, columns) as wide as those that its span was made for."
            )
        read = rows[:, slice(*self.span)] if self.span else rows
        if not np.isfinite(read).all():
            raise DataError(
                f"{self.name} meets a value that is NaN or infinite; leave those rows out."
            )
        if self.function in HISTOGRAMS and read.min(initial=0) < 0:
            raise DataError(
                f"{self.name} compares histograms, and there is a negative value; use it on counts "
                "or probabilities, or take rbf or laplacian."
            )
        return read

    def _parameters(self) -> dict[str, Any]:
        values = {key: getattr(self, key) for key in PARAMETERS.get(self.function, ())}
        return {key: value for key, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _refuse_what_is_no_kernel(self) -> Self:
        KERNELS.load(self.function)
        allowed = PARAMETERS.get(self.function, ())
        given = [key for key in ("degree", "gamma", "coef0") if getattr(self, key) is not None]
        foreign = [key for key in given if key not in allowed]
        if foreign:
            raise ConfigError(
                f"{self.function} has no {' or '.join(foreign)}; "
                f"it has {', '.join(allowed) or 'no parameters'}."
            )
        if not all(value is None or 0 < value < np.inf for value in (self.gamma, self.degree)):
            raise ConfigError(f"{self.name}: gamma is above 0, degree at least 1.")
        if self.coef0 is not None and not 0 <= self.coef0 < np.inf:
            raise ConfigError(f"{self.name}: coef0 is at least 0, else it is no kernel.")
        if self.span and not 0 <= self.span[0] < self.span[1]:
            raise ConfigError(f"{self.name}: a span is (start, stop) with 0 <= start < stop.")
        return self


class Product(Frozen):
    """The product of kernels, as of one on the image and one on the text of a pair."""

    factors: tuple[Kernel, ...] = Field(min_length=2)

    @property
    def name(self) -> str:
        """The names of the factors, joined."""
        return " × ".join(factor.name for factor in self.factors)

    def __call__(self, rows: Rows, others: Rows | None = None) -> Gram:
        """Return the elementwise product of the factors' (q, n) blocks; raises as they do."""
        blocks = (factor(rows, others) for factor in self.factors)
        return reduce(lambda product, block: np.multiply(product, block, out=product), blocks)


def _kind(value: Any) -> str:
    many = isinstance(value, Product) or (isinstance(value, Mapping) and "factors" in value)
    return "product" if many else "kernel"


Part = Annotated[
    Annotated[Kernel, Tag("kernel")] | Annotated[Product, Tag("product")], Discriminator(_kind)
]


class Combination(Frozen):
    """Σ_k w_k k_k(x, z): what multiple kernel learning finds.

    Attributes
    ----------
    kernels : of Kernel or Product
    weights : of float
        One a kernel, none negative.

    Raises
    ------
    ConfigError
        If they are not as many, or one is negative or not finite.
    """

    kernels: tuple[Part, ...]
    weights: tuple[float, ...]

    @property
    def name(self) -> str:
        """The weighted names of the kernels that count."""
        return " + ".join(f"{weight:.3g} {kernel.name}" for weight, kernel in self._parts())

    def __call__(self, rows: Rows, others: Rows | None = None) -> Gram:
        """Return the weighted sum of the kernels' (q, n) blocks; raises as they do."""
        total = np.zeros((len(rows), len(rows if others is None else others)))
        for weight, kernel in self._parts():
            total += weight * kernel(rows, others)
        return total

    def _parts(self) -> list[tuple[float, Kernel | Product]]:
        return [(w, k) for w, k in zip(self.weights, self.kernels, strict=True) if w > 0]

    @model_validator(mode="after")
    def _refuse_what_is_no_kernel(self) -> Self:
        if len(self.kernels) != len(self.weights):
            raise ConfigError(
                f"{len(self.kernels)} kernels need as many weights, not {len(self.weights)}."
            )
        if not all(0 <= weight < np.inf for weight in self.weights):
            raise ConfigError(f"Weights of kernels are finite and not negative: {self.weights}.")
        return self


def intersection(rows: Rows, others: Rows | None = None) -> Gram:
    """Return Σ_d min(x_d, z_d), float64 (q, n), of rows without negative values (Swain & Ballard).

    By min(a, b) = (a + b - |a - b|) / 2 it needs no (q, n, d) array.
    """
    others = rows if others is None else others
    totals = rows.sum(axis=1)[:, None] + others.sum(axis=1)
    return np.asarray((totals - manhattan_distances(rows, others)) / 2)
