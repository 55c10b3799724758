"""The torch module that reads named levels off an EfficientNet-Lite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d


class LevelNetwork(nn.Module):
    """Run the network once and return the asked levels, in the asked order.

    Source: the levels and their pooling are eqs. 1-3 of the multi-level fusion paper.
    """

    def __init__(self, network: Any, levels: Sequence[str]) -> None:
        super().__init__()
        self.network = network
        self.levels = tuple(levels)
        parts = {level.partition(":")[0] for level in levels}
        blocks = [int(p.removeprefix("block")) for p in parts if p.startswith("block")]
        self.needs_head = bool(parts & {"head", "classes"})
        self.depth = len(network._blocks) if self.needs_head else max(blocks, default=-1) + 1

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Map pixels, uint8 (b, side, side, 3), to float32 (b, d) or (b, cells, d) a level."""
        net = self.network
        x = (pixels.permute(0, 3, 1, 2).to(torch.float32) - 127.0) / 128.0
        x = net._swish(net._bn0(net._conv_stem(x)))
        maps = {"stem": x}
        for number in range(self.depth):
            x = net._blocks[number](x)
            maps[f"block{number}"] = x
        if self.needs_head:
            maps["head"] = net._swish(net._bn1(net._conv_head(x)))
        return tuple(self._level(maps, level) for level in self.levels)

    def _level(self, maps: dict[str, Tensor], level: str) -> Tensor:
        part, _, pooling = level.partition(":")
        if part == "classes":
            logits: Tensor = self.network._fc(maps["head"].mean((2, 3)))
            return torch.softmax(logits, dim=-1)
        if pooling == "avg":
            return maps[part].mean((2, 3))
        if pooling == "max":
            return maps[part].amax((2, 3))
        grid = adaptive_avg_pool2d(maps[part], 5) if pooling == "5x5" else maps[part]
        return grid.flatten(2).transpose(1, 2)  # (b, cells, d), row-major
