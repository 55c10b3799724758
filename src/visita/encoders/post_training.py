"""Post-training quantisation: a trained network in int8, with no training.

The inputs of a linear layer or a convolution get 256 steps by a fake-quantisation node, and the
weights of each output 255, or 127 where the processor needs that; OpenVINO turns both into int8
arithmetic (Jacob et al., 2018).
Transformers have a few input channels of a hundred times the others' size; linear layers share
them out between input and weights as far as that lowers the error (SmoothQuant: Xiao et al.,
2023). All cut the tails of the range where that does. The mean shift that rounding causes is
taken off the result (Nagel et al., 2019). Where the network's vectors move too far all the same,
the layers of the largest error go back to float32. All else, attention among it, stays there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.encoders.engine import Graph, Runner
from visita.encoders.int8 import STEPS, rounded_weights, with_zero
from visita.encoders.openvino import ov
from visita.encoders.quantizable import Layer, Plan, layers_of
from visita.types import FloatArray
from visita.vectors import unit

MIN_COSINE, MIN_RECALL = 0.995, 0.9
"""Refused below: the mean cosine to float32's vectors, and the share of pictures whose nearest
vector in float32 is their own; both on pictures that nothing was measured on."""
BACK = (0, 1 / 16, 1 / 8, 1 / 4)
"""Parts of the layers that go back to float32, tried in turn."""
KEPT = (1.0, 0.9999)
"""Parts of the values that the range holds."""
RECIPE = 2
"""Raised when a network comes out otherwise: what is stored of pictures is then read anew."""
_ROOM = 2**29
"""Bytes of what goes into layers that are held at once."""

Batch = Sequence[NDArray[Any]]
"""One array an input of the network."""


@dataclass(frozen=True)
class Nearness:
    """How near a coarser network is to the one in float32, on what was held out.

    Attributes
    ----------
    cosine : float
        The mean, of the vectors of all outputs.
    recall : float
        Share of vectors whose nearest in float32 is their own, of the worst output.
    """

    cosine: float
    recall: float

    @property
    def is_near(self) -> bool:
        """Tell whether it may stand in for the network in float32."""
        return self.cosine >= MIN_COSINE and self.recall >= MIN_RECALL  # NaN is neither

    def __str__(self) -> str:
        return f"mean cosine to float32 {self.cosine:.4f}, recall@1 of it {self.recall:.0%}"


@dataclass(frozen=True)
class Quantized(Nearness):
    """A network in int8.

    Attributes
    ----------
    model : ov.Model
    layers, back : int
        Linear layers and convolutions, and how many of them stay as they were.
    """

    model: ov.Model
    layers: int
    back: int

    def __str__(self) -> str:
        return f"{super().__str__()}, {self.layers - self.back} of {self.layers} layers"


def nearness(exact: Sequence[FloatArray], coarse: Runner, held_out: Sequence[Batch]) -> Nearness:
    """Return how near a coarser network comes to the ``outputs`` of the exact one."""
    pairs = zip(exact, outputs(coarse, held_out), strict=True)
    found = [_nearness(*pair) for pair in pairs]
    return Nearness(float(np.mean([c for c, _ in found])), min(r for _, r in found))


def quantized(
    model: ov.Model,
    batches: Sequence[Batch],
    held_out: Sequence[Batch],
    exact: Sequence[FloatArray],
    run: Callable[[ov.Model], Runner] = Graph,
) -> Quantized:
    """Return a network in int8, the best that was found; ``is_near`` tells whether it will do.

    Parameters
    ----------
    model : ov.Model
        In float32; it stays as it is.
    batches
        What to measure ranges on.
    held_out
        What to compare both on.
    exact
        The ``outputs`` of the network for it, in float32.
    run
        Compiles the changed network.
    """
    plans = _plans(model, batches)
    order = np.argsort([-plan.error for plan in plans])
    tried = []
    for share in BACK:
        back = {int(number) for number in order[: round(share * len(plans))]}
        changed = model.clone()
        for number, (layer, plan) in enumerate(zip(layers_of(changed), plans, strict=True)):
            if number not in back:
                layer.quantize(plan)
        found = nearness(exact, run(changed), held_out)
        tried.append(Quantized(found.cosine, found.recall, changed, len(plans), len(back)))
        if tried[-1].is_near:
            break
    return max(tried, key=lambda found: (found.is_near, found.cosine))


class _Seen(NamedTuple):
    """What goes into a layer."""

    rows: FloatArray  # (groups, rows, inputs), some
    low: FloatArray  # of all rows: of each input, or of all of them
    high: FloatArray


def _plans(model: ov.Model, batches: Sequence[Batch]) -> list[Plan]:
    layers = layers_of(model)
    seen = _inputs(model, layers, batches)
    return [_best_plan(layer, inputs) for layer, inputs in zip(layers, seen, strict=True)]


def _inputs(model: ov.Model, layers: Sequence[Layer], batches: Sequence[Batch]) -> Iterator[_Seen]:
    """Yield what goes into each layer, of all batches."""
    rng = np.random.default_rng(0)
    for some in _in_memory(layers, max(len(batch[0]) for batch in batches)):
        probe = ov.Model([x.node.input_value(0) for x in some], model.get_parameters(), "probe")
        run = Graph(probe)
        seen = [
            [
                _Seen(layer.rows(x, rng), *layer.extremes(x))
                for layer, x in zip(some, run(*batch), strict=True)
            ]
            for batch in batches
        ]
        for of_layer in zip(*seen, strict=True):
            rows, low, high = zip(*of_layer, strict=True)
            yield _Seen(np.concatenate(rows, axis=1), np.min(low, 0), np.max(high, 0))


def _in_memory(layers: Sequence[Layer], rows: int) -> Iterator[list[Layer]]:
    """Yield layers in their order, as many at once as ``_ROOM`` has room for the inputs of."""
    held: list[Layer] = []
    room = _ROOM
    for layer in layers:
        sides = layer.node.get_input_partial_shape(0)
        size = 4 * rows * prod(side.get_length() for side in sides if side.is_static)
        if held and size > room:
            yield held
            held, room = [], _ROOM
        held.append(layer)
        room -= size
    if held:
        yield held


def _best_plan(layer: Layer, seen: _Seen) -> Plan:
    weights = layer.weights
    exact = _product(seen.rows, weights)
    sizes = np.maximum((exact**2).sum((0, 2)), 1e-30)
    peaks = np.maximum(-seen.low, seen.high), np.abs(weights).max(1)
    plans = []
    for strength, kept in product(layer.strengths, KEPT):
        smoothing = _smoothing(*peaks, strength)
        smooth = _Seen(seen.rows / smoothing[:, None], seen.low / smoothing, seen.high / smoothing)
        low, high = _range(smooth, kept)
        rounded, step = rounded_weights(weights * smoothing[:, None], (2,))
        wrong = _product(_rounded(smooth.rows, low, high), rounded * step) - exact
        shift = wrong.mean(1)
        error = float((((wrong - shift[:, None]) ** 2).sum((0, 2)) / sizes).mean())
        plans.append(Plan(error, smoothing, low, high, shift))
    return min(plans, key=lambda plan: plan.error)


def _product(rows: FloatArray, weights: FloatArray) -> FloatArray:
    """Return (groups, rows, outputs)."""
    return np.asarray(rows @ weights.swapaxes(1, 2))


def _smoothing(inputs: FloatArray, outputs: FloatArray, strength: float) -> FloatArray:
    inputs, outputs = (np.maximum(peaks, np.float32(1e-5)) for peaks in (inputs, outputs))
    logs = strength * np.log(inputs) - (1 - strength) * np.log(outputs) * (strength > 0)
    smoothing: FloatArray = np.exp(logs - logs.mean()).astype(np.float32)
    return smoothing


def _range(seen: _Seen, kept: float) -> tuple[np.float32, np.float32]:
    ends = [seen.low.min(), seen.high.max()]
    if kept < 1:
        ends = list(np.quantile(seen.rows, [1 - kept, kept]))
    return with_zero(min(float(ends[0]), 0.0), max(float(ends[1]), 1e-8))


def _rounded(values: FloatArray, low: np.float32, high: np.float32) -> FloatArray:
    step = (high - low) / np.float32(STEPS - 1)
    rounded: FloatArray = np.clip(np.round((values - low) / step), 0, STEPS - 1) * step + low
    return rounded


def outputs(run: Runner, batches: Sequence[Batch]) -> list[FloatArray]:
    """Return each output for all batches as vectors, one a row."""
    results = [[_vectors(out) for out in run(*batch)] for batch in batches]
    return [np.concatenate(output) for output in zip(*results, strict=True)]


def _vectors(output: FloatArray) -> FloatArray:
    """Return one vector a row; of scores, (n, 1), the one of all, as only their order counts."""
    rows = output.reshape(len(output), -1)
    return rows if rows.shape[1] > 1 else (rows - rows.mean()).T


def _nearness(expected: FloatArray, output: FloatArray) -> tuple[float, float]:
    """Return the mean cosine of rows, and how many of them find their own again."""
    cosines = unit(output) @ unit(expected).T
    own = cosines.diagonal()
    # Others may be just as near: pictures that are alike have the same vector.
    return float(own.mean()), float((own >= cosines.max(1) - 1e-6).mean())
