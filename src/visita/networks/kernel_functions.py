"""The kernels of the kernel layer, between unit vectors: functions of their cosine alone.

The functions of ``FAMILIES`` are positive definite between vectors of one space, polynomials where
their degree is a whole number (Schölkopf & Smola, Learning with Kernels, 2002, chapter 4). What
``kernel`` makes of them is not: a constant is taken off, so that a Gram matrix of it has one large
negative eigenvalue. It is conditionally so, which is positive definite once it is centred, and that
is all that a machine with a bias needs (Schölkopf, The Kernel Trick for Distances, 2000). The
kernel layer needs neither: it averages k between a picture's parts and a text's and inverts no
Gram matrix, and the kernels of the machine that refits its weights are products z(x) z(x').

They are written once for torch, which learns through them, numpy and graphs: each takes the
``Maths`` to compute with, and otherwise only operators, which all three have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.errors import ConfigError

SHORTEST = 1e-30
"""Squared length below which a vector counts as having no direction."""


class Maths(NamedTuple):
    """Functions of arrays of one kind.

    Attributes
    ----------
    exp, sqrt : callables
        Of an array.
    power, at_least : callables
        Of an array and the exponent or the least value.
    number : callable
        Returns a number as what operators take on the right of an array.
    """

    exp: Callable[[Any], Any]
    sqrt: Callable[[Any], Any]
    power: Callable[[Any, Any], Any]
    at_least: Callable[[Any, Any], Any]
    number: Callable[[float], Any] = float


NUMPY = Maths(np.exp, np.sqrt, np.power, np.maximum)


def _linear(cosine: Any, _parameter: float, _maths: Maths) -> Any:
    return cosine


def _polynomial(cosine: Any, degree: float, maths: Maths) -> Any:
    n = maths.number
    return maths.power((cosine + n(1)) / n(2), n(degree))


def _rbf(cosine: Any, gamma: float, maths: Maths) -> Any:
    return maths.exp(_squared_distance(cosine, maths) * maths.number(-gamma))


def _laplacian(cosine: Any, gamma: float, maths: Maths) -> Any:
    # The slope of a root at zero distance is infinite: kept off it.
    squared = maths.at_least(_squared_distance(cosine, maths), maths.number(1e-4))
    return maths.exp(maths.sqrt(squared) * maths.number(-gamma))


def _squared_distance(cosine: Any, maths: Maths) -> Any:
    return cosine * maths.number(-2) + maths.number(2)


FAMILIES: Mapping[str, Callable[[Any, float, Maths], Any]] = {
    "linear": _linear,
    "polynomial": _polynomial,
    "rbf": _rbf,
    "laplacian": _laplacian,
}
"""Name → function of the cosine and the parameter, degree or width gamma, before its range is."""


def parse(kernel: str) -> tuple[str, float]:
    """Return family and parameter of a kernel such as ``rbf:2`` or ``linear``.

    Raises
    ------
    ConfigError
        If there is no such family, or its parameter is no positive number.
    """
    family, _, number = kernel.partition(":")
    try:
        parameter = float(number or 1)
    except ValueError:
        parameter = 0.0
    if family not in FAMILIES or not 0 < parameter < 1000:
        raise ConfigError(
            f"{kernel!r} is no kernel: write a family of {', '.join(FAMILIES)} and a positive "
            "parameter, as in rbf:2."
        )
    return family, parameter


def kernel_shares(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return the weights of kernels, ≥ 0 with sum 1, of the logits that the kernel layer keeps."""
    exponents = np.exp(logits.astype(np.float64) - float(logits.max()))
    shares: NDArray[np.float64] = exponents / exponents.sum()
    return shares


def kernel(name: str, maths: Maths) -> Callable[[Any], Any]:
    """Return a kernel as a function of the cosine that is -1 at -1 and 1 at 1.

    Conditionally positive definite; see above.

    Raises
    ------
    ConfigError
        If there is no such kernel.
    """
    family, parameter = parse(name)
    function = FAMILIES[family]
    lowest, highest = function(np.array([-1.0, 1.0]), parameter, NUMPY).tolist()

    def ranged(cosine: Any) -> Any:
        n = maths.number
        height = function(cosine, parameter, maths) - n(lowest)
        return height * n(2) / n(highest - lowest) - n(1)

    return ranged
