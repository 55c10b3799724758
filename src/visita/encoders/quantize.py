"""Eight-bit convolutions: about 2.5 times faster on CPUs without bfloat16 matrix units.

Fake-quantisation nodes are put around the convolutions, which OpenVINO turns into int8
arithmetic (Jacob et al., 2018: affine activations, symmetric weights a channel). Three
things keep the levels near those of float32. Rounded weights shift the mean of what a
convolution returns; that shift is taken off its bias (Nagel et al., 2019). The first
``FLOAT`` convolutions, on the few channels of the largest maps, stay in float32: they
cause most of the error and are a small part of the work. And the tails of wide ranges
are cut, for smaller steps.

What goes into each convolution was measured once on training pictures by
``runs/quantize.py`` and is kept as numbers in ``int8.safetensors``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from visita.artifact import fingerprint_of
from visita.encoders.int8 import MOST, fake_quantized, rounded_weights, weight_steps, with_zero
from visita.encoders.openvino import ops, ov
from visita.types import FloatArray

FLOAT = 3
"""Convolutions at the start that stay in float32: the stem and the first block."""
TAILS = 0.85
"""Part of a range that is kept where it has two sides; the others end at 0 and 6."""
MEASURED = "int8.safetensors"
PICTURES, AT_ONCE = 320, 8
"""Pictures that ranges are measured on, and at once: a range is the mean over these."""


@dataclass(frozen=True, eq=False)
class Activations:
    """What goes into each of a network's n convolutions, in the graph's order.

    Attributes
    ----------
    ranges : float32 (n, 2)
        Lowest and highest value, the mean over batches of their extremes.
    means : n arrays, float32 (channels,)
        Mean of each input channel.
    """

    ranges: FloatArray
    means: tuple[FloatArray, ...]

    def fingerprint(self) -> str:
        """Return a hash over all numbers and over what is done with them on this processor."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        means = [mean.tolist() for mean in self.means]
        fewer_steps = [] if weight_steps() == MOST else [weight_steps()]
        return fingerprint_of([FLOAT, TAILS, self.ranges.tolist(), means, *fewer_steps])

    def to_tensors(self, name: str) -> dict[str, NDArray[Any]]:
        """Return the arrays to store under the encoder ``name``."""
        return {
            f"{name}/ranges": self.ranges,
            f"{name}/means": np.concatenate(self.means).astype(np.float16),
            f"{name}/channels": np.array([len(m) for m in self.means], np.int32),
        }

    @classmethod
    def from_tensors(cls, name: str, tensors: Mapping[str, NDArray[Any]]) -> Activations:
        """Return what ``to_tensors`` stored."""
        ends = np.cumsum(tensors[f"{name}/channels"])[:-1]
        means = np.split(tensors[f"{name}/means"].astype(np.float32), ends)
        return cls(tensors[f"{name}/ranges"], tuple(means))


@cache
def known_activations(name: str) -> Activations | None:
    """Return what was measured for the encoder ``name``, or None if it stays in float32."""
    tensors = load(files("visita.encoders").joinpath(MEASURED).read_bytes())
    return Activations.from_tensors(name, tensors) if f"{name}/ranges" in tensors else None


def measure_on(
    graph: Callable[[Sequence[str]], ov.Model], pixels: Sequence[NDArray[np.uint8]]
) -> Activations:
    """Return what goes into each convolution up to ``classes``, on prepared pictures.

    Parameters
    ----------
    graph
        Builds the graph of levels, in float32.
    pixels
        Some hundred, each uint8 (side, side, 3).
    """
    starts = range(0, len(pixels), AT_ONCE)
    return measure(graph(["classes"]), (np.stack(pixels[at : at + AT_ONCE]) for at in starts))


def measure(model: ov.Model, batches: Iterable[NDArray[np.uint8]]) -> Activations:
    """Return what goes into each convolution of ``model``, float32, over ``batches``."""
    inputs = [node.input_value(0) for node in _convolutions(model)]
    probe = ov.Model(inputs, model.get_parameters(), "probe")
    compiled = ov.Core().compile_model(probe, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ranges, means = [], []
    for batch in batches:
        values = list(compiled(batch).values())
        ranges.append([(r.min(), r.max()) for r in values])
        means.append([r.mean((0, 2, 3)) for r in values])
    return Activations(
        np.mean(ranges, axis=0).astype(np.float32),
        tuple(
            np.mean(layer_means, axis=0).astype(np.float32)
            for layer_means in zip(*means, strict=True)
        ),
    )


def quantize(model: ov.Model, activations: Activations) -> str:
    """Put fake quantisation around the convolutions of ``model``, in place.

    A graph that stops at an early level has the first convolutions only.
    """
    measured = zip(activations.ranges.tolist(), activations.means, strict=True)
    for node, ((low, high), means) in list(zip(_convolutions(model), measured, strict=False))[
        FLOAT:
    ]:
        node.input(0).replace_source_output(_activation(node.input_value(0), low, high))
        _round_weights(node, means)
    return "int8"


def _convolutions(model: ov.Model) -> list[Any]:
    kinds = ("Convolution", "GroupConvolution")
    return [node for node in model.get_ordered_ops() if node.get_type_name() in kinds]


def _activation(source: Any, low: float, high: float) -> Any:
    # Zero, the padding, has to be one of the steps.
    ends = with_zero(0.0, high) if low >= 0 else with_zero(low * TAILS, high * TAILS)
    return fake_quantized(source, *ends).output(0)


def _round_weights(node: Any, means: FloatArray) -> None:
    """Quantise a convolution's weights and take the mean shift that this causes off its result."""
    weights = node.input_value(1).get_node().get_data().astype(np.float32)
    # Weights are (out, in, h, w), or (groups, out, in, h, w): one step size an output channel.
    depthwise = node.get_type_name() == "GroupConvolution"
    taps = tuple(range(2 if depthwise else 1, weights.ndim))
    steps, step = rounded_weights(weights, taps)
    rounded, ends = steps * step, [-MOST * step, MOST * step] * 2
    node.input(1).replace_source_output(
        ops.fake_quantize(ops.constant(rounded), *ends, 2 * MOST + 1).output(0)
    )
    error = rounded - weights
    shift = error.sum((1, 2, 3, 4)) * means if depthwise else error.sum((2, 3)) @ means
    readers = node.output(0).get_target_inputs()
    corrected = ops.subtract(node, ops.constant(shift.reshape(1, -1, 1, 1).astype(np.float32)))
    for reader in readers:
        reader.replace_source_output(corrected.output(0))
