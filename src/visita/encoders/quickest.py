"""What a network is computed in here: the quickest of float32, bfloat16 and int8 that is near.

Each is judged on inputs that nothing was measured on, and timed on this processor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from math import ceil

import numpy as np

from visita.encoders.engine import Graph
from visita.encoders.int8 import weight_steps
from visita.encoders.openvino import ov
from visita.encoders.post_training import RECIPE, Batch, Nearness, nearness, outputs, quantized
from visita.encoders.precision import BFLOAT16, FLOAT16, FLOAT32, INT8, VARIABLE
from visita.errors import ConfigError
from visita.progress import say
from visita.types import FloatArray

MIN_WEIGHTS, MIN_GAIN = 2**20, 1.2
"""How many weights a network has to have for fewer bits to be tried; and how many times as fast as
in the finer precision before it must be."""
_RUNS = 5
LEAST, BUDGET = 3, 10.0
"""Batches of inputs to measure on or judge by, at least; more as far as float32 maps them in
so many seconds."""

Samples = Callable[[], tuple[Sequence[Batch], Sequence[Batch]]]
"""Returns inputs to measure ranges on, and others to judge by."""


@dataclass(frozen=True)
class Way:
    """A network, and what it is computed in, as its card says."""

    model: ov.Model
    precision: str

    @cached_property
    def graph(self) -> Graph:
        """It, compiled."""
        return Graph(self.model, arithmetic=arithmetic(self.precision))


def arithmetic(precision: str) -> str:
    """Return what a graph of a precision computes in where that is not int8."""
    return BFLOAT16 if BFLOAT16 in precision.split() else FLOAT32


def quickest(
    name: str, model: ov.Model, weights: int, allowed: Sequence[str], samples: Samples | None
) -> Way:
    """Return the quickest way to run a network that is near enough to float32.

    Where float32 is not allowed, the one that was asked for, however little it gains.

    Parameters
    ----------
    name : str
        What the network is called in messages.
    model : ov.Model
        In float32; it stays as it is.
    weights : int
        How many could be in int8.
    allowed
        What it may be computed in.
    samples
        Without, it is computed in float32.

    Raises
    ------
    ConfigError
        If what was asked for is too coarse.
    """
    is_large, is_asked_for = weights >= MIN_WEIGHTS, FLOAT32 not in allowed
    exact = Way(model, FLOAT16 if FLOAT16 in allowed and is_large else FLOAT32)
    fewer = [precision for precision in (BFLOAT16, INT8) if precision in allowed]
    if samples is None or not fewer or not (is_asked_for or is_large):
        return exact
    best, told = exact, ""
    measured, held_out = _affordable(exact.graph, *samples())
    expected = outputs(exact.graph, held_out)
    for precision in fewer:
        way, found = _coarser(precision, best, measured, held_out, expected)
        if not found.is_near and is_asked_for:
            raise ConfigError(f"{name} is too coarse in {precision}: {found}. Unset {VARIABLE}.")
        if not found.is_near:
            refused = f"{precision} is too coarse for it: {found}"
        elif not is_asked_for and (gain := _speedup(best, way, held_out[0])) < MIN_GAIN:
            refused = f"{precision} is only {gain:.1f} times as fast here"
        else:
            best, told = way, f"{precision} here: {found}; {VARIABLE}={FLOAT32} keeps it exact"
            continue
        if best is exact:
            told = f"{FLOAT32}: {refused}"
    if told:
        say(f"{name} runs in {told}")
    return best


def _affordable(run: Graph, *sets: Sequence[Batch]) -> Iterator[Sequence[Batch]]:
    """Yield as many batches of each set as there is time for, spread over all of them."""
    first = sets[0][0]
    run(*first)  # the first run of a graph takes longer
    most = max(LEAST, int(BUDGET / _seconds(run, first)))
    return (batches[:: ceil(len(batches) / most)] for batches in sets)


def _coarser(
    precision: str,
    way: Way,
    measured: Sequence[Batch],
    held_out: Sequence[Batch],
    expected: Sequence[FloatArray],
) -> tuple[Way, Nearness]:
    """Return a network in bfloat16 or int8, and how near it is to float32.

    What int8 does not reach is computed as before.
    """
    if precision == BFLOAT16:
        coarse = Way(way.model, BFLOAT16)
        return coarse, nearness(expected, coarse.graph, held_out)
    rest = arithmetic(way.precision)
    found = quantized(way.model, measured, held_out, expected, partial(Graph, arithmetic=rest))
    how = f"{INT8} {RECIPE}-{weight_steps()}"
    return Way(found.model, f"{how} {rest}" if rest == BFLOAT16 else how), found


def _speedup(before: Way, after: Way, inputs: Batch) -> float:
    """Return how many times as fast the second way maps inputs here as the first."""
    graphs = before.graph, after.graph
    # The processor's own seconds, in turn, and the fewest of each: other processes run here too.
    rounds = [[_seconds(graph, inputs) for graph in graphs] for _ in range(_RUNS)]
    first, second = np.min(rounds, axis=0)
    return float(first / second)


def _seconds(graph: Graph, inputs: Batch) -> float:
    start = time.process_time()
    graph(*inputs)
    return time.process_time() - start
