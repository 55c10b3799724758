"""Post-training quantisation: the linear layers of a trained network in int8, with no training.

A linear layer's inputs get 256 steps by a fake-quantisation node, and the weights of each output
255, or 127 where the processor needs that; OpenVINO turns both into int8 arithmetic (Jacob et al.,
2018).
Transformers have a few input channels of a hundred times the others' size; each layer shares them
out between input and weights as far as that lowers its error (SmoothQuant: Xiao et al., 2023),
and cuts the tails of its range where that does. The mean shift that rounding causes is taken off
the result (Nagel et al., 2019). Where the network's vectors move too far all the same, the layers
of the largest error go back to float32. All else, convolutions and attention among it, stays there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from visita.encoders import operations as op
from visita.encoders.engine import Graph
from visita.encoders.int8 import STEPS, fake_quantized, int8_linear, rounded_weights, with_zero
from visita.encoders.openvino import ops, ov
from visita.types import FloatArray
from visita.vectors import unit

MIN_COSINE, MIN_RECALL = 0.995, 0.9
"""Refused below: the mean cosine to float32's vectors, and the share of pictures whose nearest
vector in float32 is their own; both on pictures that nothing was measured on."""
BACK = (0, 1 / 16, 1 / 8, 1 / 4)
"""Parts of the layers that go back to float32, tried in turn."""
STRENGTHS = (0.0, 0.5, 0.7, 0.85)
"""SmoothQuant's alpha; 0 leaves the channels as they are."""
KEPT = (1.0, 0.9999)
"""Parts of the values that the range holds."""
RECIPE = 1
"""Raised when a network comes out otherwise: what is stored of pictures is then read anew."""
_ROWS, _LARGEST = 48, 16
"""Inputs of a layer that are looked at, of each batch: at random, and those of the largest values,
as the ranges are theirs."""

Batch = Sequence[NDArray[Any]]
"""One array an input of the network."""


@dataclass(frozen=True)
class Quantized:
    """A network in int8, and how near it is to the one in float32 on pictures held out.

    Attributes
    ----------
    model : ov.Model
    cosine : float
        The mean, of the vectors of all outputs.
    recall : float
        Share of pictures whose nearest vector in float32 is their own, of the worst output.
    layers, back : int
        Linear layers, and how many of them stay in float32.
    """

    model: ov.Model
    cosine: float
    recall: float
    layers: int
    back: int

    @property
    def is_near(self) -> bool:
        """Tell whether it may stand in for the network in float32."""
        return self.cosine >= MIN_COSINE and self.recall >= MIN_RECALL  # NaN is neither

    def __str__(self) -> str:
        return (
            f"mean cosine to float32 {self.cosine:.4f}, recall@1 of it {self.recall:.0%}, "
            f"{self.layers - self.back} of {self.layers} layers"
        )


class _Layer(NamedTuple):
    """How one layer is quantised; ``error`` is what rounding changes of a result, squared and as a
    part of it, the mean over rows: a few tokens of a transformer are far larger than the others."""

    error: float
    smoothing: FloatArray  # (inputs,): each channel is divided by it, its weights multiplied
    low: np.float32
    high: np.float32
    shift: FloatArray  # (outputs,): the mean of what rounding adds


def quantized(model: ov.Model, batches: Sequence[Batch], held_out: Sequence[Batch]) -> Quantized:
    """Return a network in int8, the best that was found; ``is_near`` tells whether it will do.

    Parameters
    ----------
    model : ov.Model
        In float32; it stays as it is.
    batches
        What to measure ranges on.
    held_out
        What to compare both on.
    """
    expected = _outputs(model, held_out)
    plans = _plans(model, batches)
    order = np.argsort([-plan.error for plan in plans])
    tried = []
    for share in BACK:
        back = {int(number) for number in order[: round(share * len(plans))]}
        changed = model.clone()
        for number, (layer, plan) in enumerate(zip(_linear(changed), plans, strict=True)):
            if number not in back:
                _quantize(layer, plan)
        outputs = _outputs(changed, held_out)
        nearness = [_nearness(*pair) for pair in zip(expected, outputs, strict=True)]
        cosine, recall = np.mean([c for c, _ in nearness]), min(r for _, r in nearness)
        tried.append(Quantized(changed, float(cosine), recall, len(plans), len(back)))
        if tried[-1].is_near:
            break
    return max(tried, key=lambda found: (found.is_near, found.cosine))


def linear_weights(model: ov.Model) -> tuple[int, float]:
    """Return how many weights the linear layers have, and their share of all the network's."""
    linear = sum(_weights(layer).size for layer in _linear(model))
    constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
    everything = sum(int(np.prod(node.get_output_shape(0))) for node in constants)
    return linear, linear / max(1, everything)


def _linear(model: ov.Model) -> list[Any]:
    return [node for node in model.get_ordered_ops() if _is_linear(node)]


def _is_linear(node: Any) -> bool:
    if node.get_type_name() != "MatMul":
        return False
    weights = node.input_value(1).get_node()
    return (
        weights.get_type_name() == "Constant"
        and weights.get_output_element_type(0) == ov.Type.f32
        and len(weights.get_output_shape(0)) == 2
    )


def _weights(node: Any) -> FloatArray:
    """Return the weights of a linear layer, (outputs, inputs)."""
    weights: FloatArray = node.input_value(1).get_node().get_data()
    return weights if node.get_attributes()["transpose_b"] else weights.T


def _plans(model: ov.Model, batches: Sequence[Batch]) -> list[_Layer]:
    layers = _linear(model)
    inputs = _sampled(model, layers, batches)
    return [_best_plan(rows, _weights(layer)) for layer, rows in zip(layers, inputs, strict=True)]


def _sampled(
    model: ov.Model, layers: Sequence[Any], batches: Sequence[Batch]
) -> Iterator[FloatArray]:
    """Yield some inputs of each layer, (rows, inputs)."""
    probe = ov.Model([layer.input_value(0) for layer in layers], model.get_parameters(), "probe")
    run = Graph(probe)
    rng = np.random.default_rng(0)
    seen: list[list[FloatArray]] = [[] for _ in layers]
    for batch in batches:
        for rows, values in zip(seen, run(*batch), strict=True):
            rows.append(_some(values.reshape(-1, values.shape[-1]), rng))
    while seen:
        yield np.concatenate(seen.pop(0))


def _some(rows: FloatArray, rng: np.random.Generator) -> FloatArray:
    largest = np.argsort(-np.abs(rows).max(1), kind="stable")[:_LARGEST]
    others = rng.choice(len(rows), min(_ROWS, len(rows)), replace=False)
    return rows[np.union1d(largest, others)]


def _best_plan(rows: FloatArray, weights: FloatArray) -> _Layer:
    exact = rows @ weights.T
    sizes = np.maximum((exact**2).sum(1), 1e-30)
    plans = []
    for strength, kept in product(STRENGTHS, KEPT):
        smoothing = _smoothing(rows, weights, strength)
        smooth = rows / smoothing
        low, high = _range(smooth, kept)
        rounded, step = rounded_weights(weights * smoothing, (1,))
        wrong = _rounded(smooth, low, high) @ (rounded * step).T - exact
        shift = wrong.mean(0)
        error = float((((wrong - shift) ** 2).sum(1) / sizes).mean())
        plans.append(_Layer(error, smoothing, low, high, shift))
    return min(plans, key=lambda plan: plan.error)


def _smoothing(rows: FloatArray, weights: FloatArray, strength: float) -> FloatArray:
    inputs, outputs = (np.maximum(np.abs(x).max(0), 1e-5) for x in (rows, weights))
    logs = strength * np.log(inputs) - (1 - strength) * np.log(outputs) * (strength > 0)
    smoothing: FloatArray = np.exp(logs - logs.mean()).astype(np.float32)
    return smoothing


def _range(values: FloatArray, kept: float) -> tuple[np.float32, np.float32]:
    ends = [values.min(), values.max()] if kept == 1 else np.quantile(values, [1 - kept, kept])
    return with_zero(min(float(ends[0]), 0.0), max(float(ends[1]), 1e-8))


def _rounded(values: FloatArray, low: np.float32, high: np.float32) -> FloatArray:
    step = (high - low) / np.float32(STEPS - 1)
    rounded: FloatArray = np.clip(np.round((values - low) / step), 0, STEPS - 1) * step + low
    return rounded


def _quantize(layer: Any, plan: _Layer) -> None:
    """Put fake quantisation around a linear layer, in place."""
    rounded, step = rounded_weights(_weights(layer) * plan.smoothing, (1,))
    smooth = ops.multiply(layer.input_value(0), op.constant(1 / plan.smoothing))
    outputs = int8_linear(fake_quantized(smooth, plan.low, plan.high), rounded, step)
    readers = layer.output(0).get_target_inputs()
    corrected = ops.subtract(outputs, op.constant(plan.shift))
    for reader in readers:
        reader.replace_source_output(corrected.output(0))


def _outputs(model: ov.Model, batches: Sequence[Batch]) -> list[FloatArray]:
    """Return each output for all batches, (n, numbers)."""
    run = Graph(model)
    results = [[out.reshape(len(out), -1) for out in run(*batch)] for batch in batches]
    return [np.concatenate(output) for output in zip(*results, strict=True)]


def _nearness(expected: FloatArray, output: FloatArray) -> tuple[float, float]:
    """Return the mean cosine of rows, and how many of them find their own again."""
    cosines = unit(output) @ unit(expected).T
    own = cosines.diagonal()
    # Others may be just as near: pictures that are alike have the same vector.
    return float(own.mean()), float((own >= cosines.max(1) - 1e-6).mean())
