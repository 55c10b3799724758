"""EfficientNet-Lite 0, 1 and 2 with their ImageNet weights (Tan & Le, 2019).

Levels carry the names of the network's own parts: ``stem``, ``block0`` … (the
inverted residual blocks) and ``head`` (the last convolution, 1280 channels), each
pooled as ``:avg`` or ``:max``, averaged in 5 x 5 cells as ``:5x5`` or whole as ``:grid``;
and ``classes``, the 1,000 ImageNet class probabilities. ``head:avg`` is the last pool.

The 1,000 ImageNet class names, in the order of every ImageNet network's outputs.

The names are WordNet's: https://wordnet.princeton.edu/license-and-commercial-use
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image, Resampling

from visita.arguments import check_levels
from visita.artifact import fingerprint_of
from visita.encoders import operations as op
from visita.encoders.openvino import ops, ov
from visita.encoders.weights import changed, restored, shipped
from visita.types import FloatArray

PREPROCESSING = "RGB, squashed to side x side, bicubic; (x - 127) / 128"
STAGE_STRIDES = (1, 2, 2, 2, 1, 2, 1)
EPSILON = 1e-3
"""Of the batch norms."""


@dataclass(frozen=True)
class _Size:
    side: int
    repeats: tuple[int, ...]  # blocks a stage
    channels: tuple[int, ...]  # output channels a stage
    sha256: str


_NARROW = (16, 24, 40, 80, 112, 192, 320)
_SIZES = (
    _Size(
        224,
        (1, 2, 2, 3, 3, 4, 1),
        _NARROW,
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    _Size(
        240,
        (1, 3, 3, 4, 4, 5, 1),
        _NARROW,
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    _Size(
        260,
        (1, 3, 3, 4, 4, 5, 1),
        (16, 24, 48, 88, 120, 208, 352),
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
)


class EfficientNetLite:
    """One EfficientNet-Lite as an ``ImageEncoder``; ``number`` is 0, 1 or 2.

    It reads pictures of ``side`` pixels, those of its pretraining where no number is given.
    """

    reduced = True
    licence = "Apache-2.0"
    package = None

    def __init__(self, number: int, side: int | None = None) -> None:
        self.name = f"efficientnet-lite{number}"
        self.number = number
        self._size = _SIZES[number]
        self.side = side or self._size.side

    def at(self, side: int) -> EfficientNetLite:
        """Return it for pictures of ``side`` pixels, which it knows less well unless trained so."""
        return EfficientNetLite(self.number, side)

    def level_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Map each level to its shape a picture: (channels,) pooled, (cells, channels) a grid."""
        grid = -(-self.side // 2)  # the stem halves it; "same" padding rounds up
        shapes: dict[str, tuple[int, ...]] = _pooled_and_grid("stem", 32, grid)
        block = 0
        for repeats, channels, stride in zip(
            self._size.repeats, self._size.channels, STAGE_STRIDES, strict=True
        ):
            grid = -(-grid // stride)
            for _ in range(repeats):
                shapes |= _pooled_and_grid(f"block{block}", channels, grid)
                block += 1
        return shapes | _pooled_and_grid("head", 1280, grid) | {"classes": (1000,)}

    def fingerprint(self) -> str:
        """Return a hash over the original weights' SHA-256 and the preprocessing."""
        other = [self.side] if self.side != self._size.side else []
        return fingerprint_of([self.name, self._size.sha256, *other, PREPROCESSING])

    def prepare(self, picture: Image) -> NDArray[np.uint8]:
        """Return the RGB picture squashed to the input square, uint8 (side, side, 3)."""
        if picture.size != (self.side, self.side):
            picture = picture.resize((self.side, self.side), Resampling.BICUBIC)
        return np.asarray(picture, dtype=np.uint8)

    def graph(
        self, levels: Sequence[str], changes: Mapping[str, FloatArray] | None = None
    ) -> ov.Model:
        """Return the graph: uint8 (b, side, side, 3) → one float32 output a level.

        Parameters
        ----------
        levels : names of levels
        changes : arrays by the names that the torch network gives them, optional
            What is added to the weights that ship.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        ArtifactError
            If what is changed is not of this network.
        MismatchError
            If the weights in the package are not the ones this file was written for.
        """
        check_levels(self.name, levels, self.level_shapes())
        weights = changed(self.name, restored(shipped(self.name)), changes or {})
        pixels = op.parameter([-1, self.side, self.side, 3], np.uint8)
        needed = {level.partition(":")[0] for level in levels}
        maps = dict(_until(self._maps(pixels, weights), needed))
        outputs = [_level(maps, level, weights) for level in levels]
        return op.model(outputs, [pixels], self.name)

    def _maps(self, pixels: op.Node, weights: op.Weights) -> Iterator[_Map]:
        """Yield the maps of each part, (b, channels, side, side), from first to last."""
        x = ops.convert(op.transposed(pixels, 0, 3, 1, 2), np.float32)
        x = ops.divide(ops.subtract(x, op.constant(127)), op.constant(128))
        layers = _Layers(weights, self.side)
        x = layers(x, "_conv_stem", "_bn0", stride=2)
        yield "stem", x
        for block, stride in enumerate(self._strides()):
            name, before = f"_blocks.{block}.", x
            if f"{name}_expand_conv.weight" in weights:
                x = layers(x, f"{name}_expand_conv", f"{name}_bn0")
            x = layers(x, f"{name}_depthwise_conv", f"{name}_bn1", stride=stride)
            x = layers(x, f"{name}_project_conv", f"{name}_bn2", bounded=False)
            if x.get_output_partial_shape(0) == before.get_output_partial_shape(0):
                x = ops.add(x, before)
            yield f"block{block}", x
        yield "head", layers(x, "_conv_head", "_bn1")

    def network(self, levels: Sequence[str]) -> Any:
        """Return a torch module: uint8 (b, side, side, 3) → a tuple with one tensor a level.

        Training and a GPU need it; ``graph`` computes the same without torch.

        Raises
        ------
        UnknownNameError
            If a level does not exist.
        MismatchError
            If the weights in the package are not the ones this file was written for.
        """
        check_levels(self.name, levels, self.level_shapes())
        # Searching must not import torch.
        from visita.encoders.efficientnet_torch import LevelNetwork, Network  # noqa: PLC0415

        network = Network(restored(shipped(self.name)), self._strides(), EPSILON)
        return LevelNetwork(network, levels).eval()

    def _strides(self) -> list[int]:
        """Return the stride of each block."""
        stages = zip(self._size.repeats, STAGE_STRIDES, strict=True)
        return [stride for repeats, first in stages for stride in (first, *[1] * (repeats - 1))]


_Map = tuple[str, op.Node]


@dataclass
class _Layers:
    """Convolutions with their batch norms; ``side`` follows the maps as they shrink."""

    weights: op.Weights
    side: int

    def __call__(
        self, x: op.Node, convolution: str, norm: str, *, stride: int = 1, bounded: bool = True
    ) -> op.Node:
        """Return the maps after one; ``bounded`` to 0 … 6 as ReLU6 does."""
        weight, bias = op.folded(self.weights, convolution, norm, EPSILON)
        x = op.convolution(x, weight, bias, side=self.side, stride=stride)
        self.side = -(-self.side // stride)
        return ops.clamp(x, 0.0, 6.0) if bounded else x


def _until(maps: Iterator[_Map], needed: set[str]) -> Iterator[_Map]:
    """Yield maps up to the last one that is needed; classes need all."""
    left = needed - {"classes"}
    for name, x in maps:
        yield name, x
        left.discard(name)
        if not left and "classes" not in needed:
            return


def _level(maps: Mapping[str, op.Node], level: str, weights: op.Weights) -> op.Node:
    part, _, pooling = level.partition(":")
    if part == "classes":
        head = ops.reduce_mean(maps["head"], op.axes(2, 3), False)
        return ops.softmax(op.linear(head, weights["_fc.weight"], weights["_fc.bias"]), 1)
    if pooling == "avg":
        return ops.reduce_mean(maps[part], op.axes(2, 3), False)
    if pooling == "max":
        return ops.reduce_max(maps[part], op.axes(2, 3), False)
    grid = ops.adaptive_avg_pool(maps[part], op.shape(5, 5)) if pooling == "5x5" else maps[part]
    return op.transposed(ops.reshape(grid, op.shape(0, 0, -1), True), 0, 2, 1)


def _pooled_and_grid(name: str, channels: int, grid: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}:avg": (channels,),
        f"{name}:max": (channels,),
        f"{name}:5x5": (25, channels),
        f"{name}:grid": (grid * grid, channels),
    }


def lite0() -> EfficientNetLite:
    """Return EfficientNet-Lite0: 224 px, 4.7 M parameters."""
    return EfficientNetLite(0)


def lite1() -> EfficientNetLite:
    """Return EfficientNet-Lite1: 240 px, 5.4 M parameters."""
    return EfficientNetLite(1)


def lite2() -> EfficientNetLite:
    """Return EfficientNet-Lite2: 260 px, 6.1 M parameters."""
    return EfficientNetLite(2)


def class_names() -> list[str]:
    """Return one line a class: its synonyms separated by commas, such as "goldfish, Carassius"."""
    text = files("visita.encoders").joinpath("imagenet_classes.txt").read_text("utf-8")
    return text.splitlines()
