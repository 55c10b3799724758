"""The layers that networks are made of, as OpenVINO operations: a graph straight from weights.

Each computes what torch's layer of the same name does, so that a network can be trained by torch
and run without it. Weights are float32 arrays in torch's shapes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visita.encoders.openvino import ops, ov
from visita.types import FloatArray

Weights = Mapping[str, FloatArray]
Node = Any
"""An output of an operation; OpenVINO ships no types."""


def model(outputs: Sequence[Node], inputs: Sequence[Node], name: str) -> ov.Model:
    """Return the graph from ``inputs``, made by ``parameter``, to ``outputs``."""
    return ov.Model([ops.result(output) for output in outputs], list(inputs), name)


def parameter(shape: Sequence[int], kind: Any = np.float32) -> Node:
    """Return an input of the graph, -1 in its shape for a dimension that may vary."""
    return ops.parameter(ov.PartialShape(list(shape)), kind)


def constant(values: Any, kind: Any = np.float32) -> Node:
    """Return values that never change."""
    # It keeps the array, which need not be copied.
    return ops.constant(np.asarray(values, kind, order="C"), shared_memory=True)


def linear(x: Node, weight: FloatArray, bias: FloatArray | None = None) -> Node:
    """Map (…, d) to (…, e) by ``weight``, (e, d), and ``bias``, (e,)."""
    product = ops.matmul(x, constant(weight), False, True)
    return product if bias is None else ops.add(product, constant(bias))


def layer(x: Node, weights: Weights, name: str) -> Node:
    """Map (…, d) to (…, e) by the linear layer that ``name`` has in ``weights``."""
    return linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])


def within(weights: Weights, name: str) -> dict[str, FloatArray]:
    """Return the weights of the part ``name``, by their names in it."""
    start = f"{name}."
    return {key.removeprefix(start): x for key, x in weights.items() if key.startswith(start)}


def embedded(numbers: Node, steps: NDArray[np.int8], scale: NDArray[Any]) -> Node:
    """Map numbers, (n, t), to rows, (n, t, d), of a table that stays rounded, as few are read."""
    apart = steps.reshape(*scale.shape, -1)  # (rows, groups, d / groups)
    rows = ops.convert(ops.gather(constant(apart, np.int8), numbers, axes(0)), np.float32)
    scales = expanded(ops.gather(constant(scale), numbers, axes(0)), 3)
    return ops.reshape(ops.multiply(rows, scales), shape(0, 0, steps.shape[1]), True)


def convolution(
    x: Node, weight: FloatArray, bias: FloatArray, *, side: int = 0, stride: int = 1
) -> Node:
    """Map (n, c, h, w) by ``weight``, (out, in, h, w); depthwise where ``in`` is 1 and c is not.

    Padded as TensorFlow's "same" for maps of ``side`` cells a side: what is odd goes at the end.
    """
    size = weight.shape[-1]
    padding = max((-(-side // stride) - 1) * stride + size - side, 0) if side else 0
    before, after = [padding // 2] * 2, [padding - padding // 2] * 2
    if weight.shape[1] == 1:
        kernel = constant(weight[:, None])  # (groups, out, in, h, w)
        y = ops.group_convolution(x, kernel, [stride] * 2, before, after, [1, 1])
    else:
        y = ops.convolution(x, constant(weight), [stride] * 2, before, after, [1, 1])
    return ops.add(y, constant(bias.reshape(1, -1, 1, 1)))


def layer_norm(x: Node, weights: Weights, name: str, epsilon: float) -> Node:
    """Standardise (…, d) over d, then scale and shift by what ``name`` has in ``weights``."""
    unit = ops.mvn(x, constant([-1], np.int64), True, epsilon, "inside_sqrt")
    scaled = ops.multiply(unit, constant(weights[f"{name}.weight"]))
    return ops.add(scaled, constant(weights[f"{name}.bias"]))


def unit(x: Node) -> Node:
    """Scale (…, d) to length 1 over d; what is zero stays so."""
    length = ops.sqrt(ops.reduce_sum(ops.multiply(x, x), axes(-1), True))
    return ops.divide(x, ops.maximum(length, constant(1e-12)))


def attention(query: Node, key: Node, value: Node, seen: Node | None = None) -> Node:
    """Return softmax(Q Kᵀ / √d) V of (n, heads, t, d) each, where ``seen``, bool, is true."""
    mask = () if seen is None else (seen,)
    return ops.scaled_dot_product_attention(query, key, value, *mask)


def heads_apart(x: Node, heads: int) -> Node:
    """Map (n, t, heads * d) to (n, heads, t, d)."""
    width = x.get_output_partial_shape(0)[2].get_length() // heads
    return transposed(ops.reshape(x, shape(0, 0, heads, width), True), 0, 2, 1, 3)


def heads_joined(x: Node) -> Node:
    """Map (n, heads, t, d) to (n, t, heads * d)."""
    of = x.get_output_partial_shape(0)
    width = of[1].get_length() * of[3].get_length()
    return ops.reshape(transposed(x, 0, 2, 1, 3), shape(0, 0, width), True)


def transposed(x: Node, *order: int) -> Node:
    """Return ``x`` with its axes in another order."""
    return ops.transpose(x, shape(*order))


def shape(*lengths: int) -> Node:
    """Return lengths as a constant; to ``reshape``, 0 keeps one and -1 is what is left."""
    return constant(lengths, np.int64)


axes = shape


def expanded(x: Node, *places: int) -> Node:
    """Return ``x`` with new axes of length 1 at ``places``."""
    return ops.unsqueeze(x, axes(*places))


def standardised(x: Node, mean: FloatArray, scale: FloatArray) -> Node:
    """Subtract the mean and divide by the scale, both (d,)."""
    return ops.divide(ops.subtract(x, constant(mean)), constant(scale))


END = np.iinfo(np.int64).max
"""As the end of ``rows`` or ``columns``: all that follow."""


def rows(x: Node, start: int, stop: int) -> Node:
    """Return rows ``start`` to ``stop`` of the second axis."""
    return ops.slice(x, shape(start), shape(stop), shape(1), axes(1))


def columns(x: Node, start: int, stop: int) -> Node:
    """Return columns ``start`` to ``stop`` of the last axis."""
    return ops.slice(x, shape(start), shape(stop), shape(1), axes(-1))


def first_rows(table: Node, like: Node, axis: int) -> Node:
    """Return as many rows of ``table``, (rows, d), as ``like`` has along ``axis``."""
    count = ops.gather(ops.shape_of(like), axes(axis), axes(0))
    return ops.slice(table, shape(0), count, shape(1), axes(0))


def gru(x: Node, weights: Weights, direction: str) -> Node:
    """Return the states, (1, t, width), of torch's GRU over one text: "forward" or "reverse"."""
    width = weights["weight_hh_l0"].shape[1]
    gates = [np.split(weights[f"{kind}_l0"], 3) for kind in ("weight_ih", "weight_hh")]
    biases = [np.split(weights[f"{kind}_l0"], 3) for kind in ("bias_ih", "bias_hh")]
    # torch has reset, update, new; OpenVINO has update, reset, new, with the new one's apart.
    read, kept = (np.concatenate([update, reset, new]) for reset, update, new in gates)
    (reset, update, new), (reset2, update2, new2) = biases
    bias = np.concatenate([update + update2, reset + reset2, new, new2])
    count = ops.gather(ops.shape_of(x), axes(1), axes(0))  # (1,): one text
    sequence = ops.gru_sequence(
        *(x, constant(np.zeros((1, 1, width))), count),
        *(constant(array[None]) for array in (read, kept, bias)),
        *(width, direction),
        linear_before_reset=True,
    )
    return ops.squeeze(sequence.output(0), axes(1))  # of directions there is one


def squeezed(x: Node, *places: int) -> Node:
    """Return ``x`` without its axes of length 1 at ``places``."""
    return ops.squeeze(x, axes(*places))


def count(weights: Weights, name: str) -> int:
    """Return how many numbered parts ``name`` has, such as the blocks of a transformer."""
    return len({key.split(".")[1] for key in weights if key.startswith(f"{name}.")})


def folded(
    weights: Weights, convolution: str, norm: str, epsilon: float
) -> tuple[FloatArray, FloatArray]:
    """Return weight and bias of a convolution without bias and the batch norm after it."""
    mean, variance = weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"]
    gain = weights[f"{norm}.weight"] / np.sqrt(variance + np.float32(epsilon))
    weight = weights[f"{convolution}.weight"]
    scaled = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
    return scaled, weights[f"{norm}.bias"] - mean * gain
