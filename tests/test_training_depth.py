"""The layers of networks: which are frozen, how fast each learns, and what is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from visita.encoders.table import IMAGE_ENCODERS
from visita.training.config import EndToEndConfig
from visita.training.depth import StochasticDepth, blocks_of, freeze, layers_of


class Residual(nn.Module):
    """A block that adds to what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)
        self.rest = nn.Sequential(nn.LayerNorm(4), nn.GELU())

    def forward(self, x: Tensor) -> Tensor:
        """Add one."""
        return x + 1


class Stages(nn.Module):
    """A stem, two stages of blocks with a line between them, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        first, second = (nn.Sequential(*(Residual() for _ in range(n))) for n in (2, 3))
        self.stages = nn.Sequential(nn.Sequential(first, nn.Linear(4, 4)), second)
        self.head = nn.Linear(4, 2)


def config(**changes: Any) -> EndToEndConfig:
    return EndToEndConfig.of(changes)


def test_blocks_are_what_a_network_repeats():
    network = Stages()
    assert all(isinstance(block, Residual) for block in blocks_of(network))
    assert len(blocks_of(network)) == 5
    lite = IMAGE_ENCODERS.load("efficientnet-lite2")().network(("block0:avg",))
    assert blocks_of(lite) == list(lite.network._blocks)
    assert blocks_of(nn.Sequential(nn.Linear(4, 4), nn.ReLU())) == []


def test_every_parameter_is_in_the_layer_where_it_stands():
    network = Stages()
    layers = layers_of(network)
    names = {parameter: name for name, parameter in network.named_parameters()}
    found = [{names[parameter] for parameter in layer} for layer in layers]
    assert sorted(name for layer in found for name in layer) == sorted(names.values())
    assert "stem.weight" in found[0] and "stages.0.1.weight" in found[1]
    assert "head.bias" in found[4] and "stages.1.0.line.weight" in found[2]
    plain = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    assert layers_of(plain) == [list(plain.parameters())]


def test_the_first_layers_are_frozen_and_later_ones_learn_faster():
    network = Stages()
    groups = list(freeze(network, config(frozen=0.5, layer_decay=0.5, encoder_learning_rate=0.8)))
    assert [group["lr"] for group in groups] == pytest.approx([0.2, 0.4, 0.8])
    learnt = {parameter for group in groups for parameter in group["params"]}
    for layer in layers_of(network)[:2]:
        assert not any(p.requires_grad or p in learnt for p in layer)
    assert all(p.requires_grad and p in learnt for layer in layers_of(network)[2:] for p in layer)


def test_blocks_are_left_out_by_chance_the_later_the_more_often():
    network = Stages()
    depth = StochasticDepth(network, config(stochastic_depth=0.5, frozen=0.2))
    blocks, x = blocks_of(network), torch.zeros(4000, 4)
    assert all(torch.equal(block(x), x + 1) for block in blocks)  # in use, nothing is
    depth.on = True
    torch.manual_seed(0)
    assert torch.equal(blocks[0](x), x + 1)  # it is frozen
    for number, block in enumerate(blocks[1:], 1):
        added, kept = block(x).numpy(), 1 - 0.5 * number / 5
        assert (added == added[:, :1]).all()  # a picture goes through the whole block or none
        assert set(np.unique(added).round(5)) == {0, np.float32(1 / kept).round(5)}
        assert (added[:, 0] > 0).mean() == pytest.approx(kept, abs=0.03)
        assert added.mean() == pytest.approx(1, abs=0.05)
    assert blocks[2](torch.zeros(2, 3, 4)).shape == (2, 3, 4)


class Doubled(Residual):
    """A block whose output is wider than its input, and comes with something else."""

    def forward(self, x: Tensor) -> Any:
        """Return two of it."""
        return torch.cat([x, x], -1), "else"


class Several(Residual):
    """A block that returns something else too."""

    def forward(self, x: Tensor) -> Any:
        """Add one."""
        return x + 1, "else"


def test_blocks_that_add_nothing_are_always_gone_through():
    x = torch.zeros(50, 4)
    for kind, changes in ((Doubled, False), (Several, True)):
        network = nn.Sequential(kind(), kind())
        StochasticDepth(network, config(stochastic_depth=0.9)).on = True
        after, other = network[1](x)
        assert other == "else"
        assert (len(torch.unique(after)) > 1) == changes
