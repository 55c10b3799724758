"""What of a graph can be computed in int8: linear layers and convolutions, alike as products.

A layer maps rows, the numbers that a result is made of, (groups, rows, inputs), by its weights,
(groups, outputs, inputs). A linear layer and a plain convolution are one group, a depthwise
convolution has one a channel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from visita.encoders import operations as op
from visita.encoders.int8 import fake_quantized, int8_linear, rounded_weights, stepped
from visita.encoders.openvino import ops, ov
from visita.types import FloatArray

STRENGTHS = (0.0, 0.5, 0.7, 0.85)
"""SmoothQuant's alpha; 0 leaves the channels as they are."""
COLOURS = 3
_ROWS = 64
"""Rows that are looked at, of each batch."""


class Plan(NamedTuple):
    """How one layer is quantised; ``error`` is what rounding changes of a result, squared and as a
    part of it, the mean over rows: a few tokens of a transformer are far larger than the others."""

    error: float
    smoothing: FloatArray  # (groups, inputs): each is divided by it, its weights multiplied
    low: np.float32
    high: np.float32
    shift: FloatArray  # (groups, outputs): the mean of what rounding adds


@dataclass(frozen=True)
class Linear:
    """A product with a constant matrix."""

    node: Any
    strengths = STRENGTHS

    @property
    def weights(self) -> FloatArray:
        """(1, outputs, inputs)."""
        weights: FloatArray = self.node.input_value(1).get_node().get_data()
        return (weights if self.node.get_attributes()["transpose_b"] else weights.T)[None]

    def rows(self, values: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return some rows of its inputs (..., inputs), float32 (1, n, inputs)."""
        rows = values.reshape(-1, values.shape[-1])
        return rows[_some(len(rows), rng)][None]

    def extremes(self, values: FloatArray) -> FloatArray:
        """Return the lowest and the highest value of each input, float32 (2, 1, inputs)."""
        rows = values.reshape(-1, values.shape[-1])
        return np.stack([rows.min(0), rows.max(0)])[:, None]

    def quantize(self, plan: Plan) -> None:
        """Put fake quantisation around it, in place."""
        [smoothing], [shift], [weights] = plan.smoothing, plan.shift, self.weights
        rounded, step = rounded_weights(weights * smoothing, (1,))
        smooth = ops.multiply(self.node.input_value(0), op.constant(1 / smoothing))
        product = int8_linear(fake_quantized(smooth, plan.low, plan.high), rounded, step)
        _correct(self.node, product, op.constant(shift))


@dataclass(frozen=True)
class Convolution:
    """A convolution of maps (b, channels, h, w), in groups or not.

    Its channels stay as they are: how large each one gets differs too much between pictures.
    """

    node: Any
    strengths = STRENGTHS[:1]

    @property
    def _kernel(self) -> FloatArray:
        """(outputs, channels, h, w), in groups (groups, outputs, channels, h, w)."""
        kernel: FloatArray = self.node.input_value(1).get_node().get_data()
        return kernel

    @property
    def weights(self) -> FloatArray:
        """(groups, outputs, channels times neighbours)."""
        groups, outputs = (1, *self._kernel.shape)[-5:-3]
        return self._kernel.reshape(groups, outputs, -1)

    def rows(self, values: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return what some places of its result are made of, float32 (groups, n, inputs)."""
        windows = np.moveaxis(self._windows(values), 1, 3)  # (b, h, w, channels, *kernel)
        places = windows.shape[:3]
        picked = windows[np.unravel_index(_some(prod(places), rng), places)]
        groups, _, inputs = self.weights.shape
        return np.ascontiguousarray(picked.reshape(len(picked), groups, inputs).swapaxes(0, 1))

    def extremes(self, values: FloatArray) -> FloatArray:
        """Return the lowest and the highest value of all, float32 (2, 1, 1)."""
        return np.array([values.min(), values.max()], np.float32)[:, None, None]

    def _windows(self, maps: FloatArray) -> FloatArray:
        facts = self.node.get_attributes()
        margins = zip(facts["pads_begin"], facts["pads_end"], strict=True)
        padded = np.pad(maps, ((0, 0), (0, 0), *margins))
        (high, wide), (down, right) = facts["dilations"], facts["strides"]
        rows, columns = self._kernel.shape[-2:]
        extent = (high * (rows - 1) + 1, wide * (columns - 1) + 1)
        windows = sliding_window_view(padded, extent, axis=(2, 3))
        return windows[:, :, ::down, ::right, ::high, ::wide]

    def quantize(self, plan: Plan) -> None:
        """Put fake quantisation around it, in place."""
        kernel = self._kernel
        rounded, step = rounded_weights(self.weights, (2,))
        taps = stepped(rounded.reshape(kernel.shape), step.reshape(*kernel.shape[:-3], 1, 1, 1))
        inputs = fake_quantized(self.node.input_value(0), plan.low, plan.high)
        for port, source in enumerate((inputs, taps)):
            self.node.input(port).replace_source_output(source.output(0))
        _correct(self.node, self.node, op.constant(plan.shift.reshape(1, -1, 1, 1)))


Layer = Linear | Convolution


def layers_of(model: ov.Model) -> list[Layer]:
    """Return what can be computed in int8, in the graph's order.

    Convolutions of pixels and of maps of one cell, as in squeeze-and-excitation, are a small part
    of the work, and stay.
    """
    found: list[Layer] = []
    for node in model.get_ordered_ops():
        if _is_linear(node):
            found.append(Linear(node))
        elif _is_convolution(node):
            found.append(Convolution(node))
    return found


def weight_count(layers: Sequence[Layer]) -> int:
    """Return how many weights layers have."""
    return sum(layer.weights.size for layer in layers)


def _is_linear(node: Any) -> bool:
    return (
        node.get_type_name() == "MatMul"
        and _has_weights(node, (2,))
        and not node.get_attributes()["transpose_a"]
    )


def _is_convolution(node: Any) -> bool:
    kind = node.get_type_name()
    if kind not in ("Convolution", "GroupConvolution") or not _has_weights(node, (4, 5)):
        return False
    cells, channels = node.get_output_partial_shape(0)[2:], node.get_input_partial_shape(0)[1]
    is_laid_out = channels.is_static and all(edge.is_static for edge in cells)
    return (
        is_laid_out
        and channels.get_length() > COLOURS
        and prod(edge.get_length() for edge in cells) > 1
        and node.get_attributes()["auto_pad"] == "explicit"
    )


def _has_weights(node: Any, ranks: tuple[int, ...]) -> bool:
    weights = node.input_value(1).get_node()
    return (
        weights.get_type_name() == "Constant"
        and weights.get_output_element_type(0) == ov.Type.f32
        and len(weights.get_output_shape(0)) in ranks
    )


def _some(count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    return rng.choice(count, min(_ROWS, count), replace=False)


def _correct(node: Any, result: op.Node, shift: op.Node) -> None:
    """Let what reads a node read a result without its shift instead."""
    readers = node.output(0).get_target_inputs()
    corrected = ops.subtract(result, shift)
    for reader in readers:
        reader.replace_source_output(corrected.output(0))
