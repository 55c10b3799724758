"""EfficientNet-Lite as a torch module, for training and a GPU.

Its batch norms always use the statistics of the pretraining, so each is folded into the convolution
before it as it runs: one pass over the maps for three, in less than half of the time and memory.
Modules and parameters have the names of efficientnet-lite-pytorch's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from visita.types import FloatArray


class Network(nn.Module):
    """The convolutions, of the widths of their weights.

    Parameters
    ----------
    weights
        By the names of the parameters and of the norms' statistics.
    strides
        Of each block.
    eps
        Of the norms.
    """

    def __init__(
        self, weights: Mapping[str, FloatArray], strides: Sequence[int], eps: float
    ) -> None:
        super().__init__()

        def convolution(name: str, stride: int = 1) -> nn.Conv2d:
            out, width, side, _ = weights[f"{name}.weight"].shape
            groups = out if width == 1 else 1  # one a channel: a depthwise convolution
            return nn.Conv2d(width * groups, out, side, stride, groups=groups, bias=False)

        self._conv_stem = convolution("_conv_stem", 2)
        self._bn0 = nn.BatchNorm2d(self._conv_stem.out_channels, eps)
        self._blocks = nn.ModuleList()
        for number, stride in enumerate(strides):
            block = Block()
            for name, norm in BLOCK:
                if f"_blocks.{number}.{name}.weight" in weights:
                    step = stride if name == "_depthwise_conv" else 1
                    part = convolution(f"_blocks.{number}.{name}", step)
                    block.add_module(name, part)
                    block.add_module(norm, nn.BatchNorm2d(part.out_channels, eps))
            self._blocks.append(block)
        self._conv_head = convolution("_conv_head")
        self._bn1 = nn.BatchNorm2d(self._conv_head.out_channels, eps)
        self._fc = nn.Linear(*reversed(weights["_fc.weight"].shape))
        tensors = {name: torch.from_numpy(array) for name, array in weights.items()}
        self.load_state_dict(tensors, strict=False)  # no batches were counted

    def maps(self, pixels: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Yield each part's maps, float32 (b, channels, side, side), from first to last."""
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) - 127.0) / 128.0
        x = folded(x, self._conv_stem, self._bn0)
        yield "stem", x
        for number, block in enumerate(self._blocks):
            x = block(x)
            yield f"block{number}", x
        yield "head", folded(x, self._conv_head, self._bn1)


BLOCK = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))


class Block(nn.Module):
    """An inverted residual block; the first of all has nothing that expands."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (b, c, side, side) to (b, d, side / stride, side / stride)."""
        before = x
        for name, norm in BLOCK:
            if hasattr(self, name):
                bounded = name != "_project_conv"
                x = folded(x, getattr(self, name), getattr(self, norm), bounded=bounded)
        return x + before if x.shape == before.shape else x


def folded(
    x: Tensor, convolution: nn.Conv2d, norm: nn.BatchNorm2d, *, bounded: bool = True
) -> Tensor:
    """Return the maps after a convolution and its norm; ``bounded`` to 0 … 6 as ReLU6 does."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    before, after = _padding(x.shape[-1], convolution)
    if before != after:
        x = functional.pad(x, (before, after) * 2)
        before = 0
    x = functional.conv2d(
        x,
        weight.contiguous(memory_format=torch.channels_last),
        bias,
        convolution.stride,
        before,
        groups=convolution.groups,
    )
    return functional.relu6(x, inplace=True) if bounded else x


def _padding(side: int, convolution: nn.Conv2d) -> tuple[int, int]:
    """Return how much is put before and after ``side``, so that ceil(side / stride) come out."""
    (kernel, _), (stride, _) = convolution.kernel_size, convolution.stride
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2


class LevelNetwork(nn.Module):
    """Run the network once and return the asked levels, in the asked order.

    Source: the levels and their pooling are eqs. 1-3 of the multi-level fusion paper.
    """

    def __init__(self, network: Network, levels: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.levels = tuple(levels)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Map pixels, uint8 (b, side, side, 3), to float32 (b, d) or (b, cells, d) a level."""
        parts = {level.partition(":")[0] for level in self.levels}
        last = {"head" if part == "classes" else part for part in parts}
        maps = {}
        for name, x in self.network.maps(pixels):
            maps[name] = x
            last.discard(name)
            if not last:
                break
        return tuple(self._level(maps, level) for level in self.levels)

    def _level(self, maps: Mapping[str, Tensor], level: str) -> Tensor:
        part, _, pooling = level.partition(":")
        if part == "classes":
            logits: Tensor = self.network._fc(maps["head"].mean((2, 3)))
            return torch.softmax(logits, dim=-1)
        if pooling == "avg":
            return maps[part].mean((2, 3))
        if pooling == "max":
            return maps[part].amax((2, 3))
        grid = functional.adaptive_avg_pool2d(maps[part], 5) if pooling == "5x5" else maps[part]
        return grid.flatten(2).transpose(1, 2)  # (b, cells, d), row-major
