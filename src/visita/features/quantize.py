"""Eight-bit convolutions: about 2.5 times faster on CPUs without bfloat16 matrix units.

Fake-quantisation nodes are put around every convolution, which OpenVINO turns into
int8 arithmetic (Jacob et al., 2018: affine activations, symmetric weights a channel).
The ranges of the activations were measured once on training pictures by
``runs/quantize.py`` and are kept as numbers in ``int8_ranges.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset13 as ops

Ranges = list[list[float]]
"""Lowest and highest input of each convolution, in the graph's order."""


def known_ranges(name: str) -> Ranges | None:
    """Return the measured ranges of the encoder ``name``, or None if it stays in float32."""
    text = files("visita.features").joinpath("int8_ranges.json").read_text("utf-8")
    table: dict[str, Ranges] = json.loads(text)
    return table.get(name)


def measure_ranges(model: ov.Model, batches: Iterable[NDArray[np.uint8]]) -> Ranges:
    """Return each convolution's input range, the mean over batches of its extremes."""
    inputs = [node.input_value(0) for node in _convolutions(model)]
    probe = ov.Model(inputs, model.get_parameters(), "probe")
    compiled = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    extremes = [[(r.min(), r.max()) for r in compiled(batch).values()] for batch in batches]
    ranges: Ranges = np.mean(extremes, axis=0).round(5).tolist()
    return ranges


def quantize(model: ov.Model, ranges: Ranges) -> str:
    """Put fake quantisation around every convolution of ``model``, in place.

    A graph that stops at an early level has the first convolutions only.
    """
    nodes = _convolutions(model)
    for node, (low, high) in zip(nodes, ranges[: len(nodes)], strict=True):
        node.input(0).replace_source_output(_activation(node.input_value(0), low, high))
        node.input(1).replace_source_output(_weights(node))
    return "int8"


def _convolutions(model: ov.Model) -> list[Any]:
    kinds = ("Convolution", "GroupConvolution")
    return [node for node in model.get_ordered_ops() if node.get_type_name() in kinds]


def _activation(source: Any, low: float, high: float) -> Any:
    if low >= 0:
        low = 0.0
    else:  # shift the range so that zero, the padding, is one of the 256 steps
        step = (high - low) / 255
        zero = round(-low / step)
        low, high = -zero * step, (255 - zero) * step
    ends = [np.float32(low), np.float32(high)] * 2
    return ops.fake_quantize(source, *ends, 256).output(0)


def _weights(node: Any) -> Any:
    weights = node.input_value(1).get_node().get_data().astype(np.float32)
    # Weights are (out, in, h, w), or (groups, out, in, h, w): one step size an output channel.
    leading = 1 if node.get_type_name() == "Convolution" else 2
    peak = np.abs(weights).max(axis=tuple(range(leading, weights.ndim)), keepdims=True)
    peak = np.maximum(peak, np.float32(1e-8))
    return ops.fake_quantize(ops.constant(weights), -peak, peak, -peak, peak, 255).output(0)
