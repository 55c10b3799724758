"""Matrix products in int8, as this processor computes them best.

With VNNI or the like, products of bytes are summed in 32 bits, four times as many at once as
float32 allows. Without, sums of two are cut off at 16 bits, which weights of 127 steps exceed; and
OpenVINO has convolutions that are quick all the same, but no such products of matrices.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from visita.encoders import operations as op
from visita.encoders.openvino import ops, ov
from visita.encoders.precision import found_out
from visita.types import FloatArray

STEPS, MOST, FEWER = 256, 127, 63
"""Of inputs, and of weights to each side of 0."""


@cache
def weight_steps() -> int:
    """Return how many steps weights may have here to each side of 0: ``MOST``, or ``FEWER``."""
    return int(found_out("steps", None, _steps))


def fake_quantized(inputs: op.Node, low: np.float32, high: np.float32) -> op.Node:
    """Return inputs rounded to ``STEPS`` values from low to high."""
    return ops.fake_quantize(inputs, low, high, low, high, STEPS)


def with_zero(low: float, high: float) -> tuple[np.float32, np.float32]:
    """Return a range, of which low is at most 0, in which 0 is one of the steps."""
    step = (high - low) / (STEPS - 1)
    zero = round(-low / step)
    return np.float32(-zero * step), np.float32((STEPS - 1 - zero) * step)


def rounded_weights(
    weights: FloatArray, axes: tuple[int, ...]
) -> tuple[NDArray[np.int8], FloatArray]:
    """Return weights in steps and the step of each output, whose weights lie along ``axes``."""
    peak = np.maximum(np.abs(weights).max(axis=axes, keepdims=True), np.float32(1e-8))
    step = peak / np.float32(weight_steps())
    return np.round(weights / step).astype(np.int8), step


def int8_linear(inputs: op.Node, weights: NDArray[np.int8], step: FloatArray) -> op.Node:
    """Return inputs, fake-quantised (b, t, k) or (b, k), times weights (n, k) · step (n, 1)."""
    if weight_steps() == MOST or inputs.get_output_partial_shape(0).rank.get_length() != 3:
        return _product(inputs, weights, step)
    taps = stepped(weights[..., None], step[..., None])
    result = ops.convolution(op.transposed(inputs, 0, 2, 1), taps, [1], [0], [0], [1])
    return op.transposed(result, 0, 2, 1)


def _product(inputs: op.Node, weights: NDArray[np.int8], step: FloatArray) -> op.Node:
    return ops.matmul(inputs, stepped(weights, step), False, True)


def stepped(weights: NDArray[np.int8], step: FloatArray) -> op.Node:
    """Return weights in steps times the step of each output, as OpenVINO knows them for int8."""
    return ops.multiply(ops.convert(op.constant(weights, np.int8), np.float32), op.constant(step))


def _steps() -> int:
    size = 64
    weights, step = np.full((size, size), MOST, np.int8), np.ones((size, 1), np.float32)
    inputs = op.parameter([1, size])
    product = _product(fake_quantized(inputs, np.float32(0), np.float32(1)), weights, step)
    result = _request(product, inputs).infer([np.ones((1, size), np.float32)])[0]
    return MOST if np.allclose(result, size * MOST, rtol=0.01) else FEWER


def _request(output: op.Node, inputs: op.Node) -> ov.InferRequest:
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": "1"}
    model = op.model([output], [inputs], "probe")
    return ov.Core().compile_model(model, "CPU", settings).create_infer_request()
