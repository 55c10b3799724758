"""The depth of an encoder's network: what is frozen, how fast each layer learns, what is left out.

Layers are the blocks that the network repeats. What comes before the first counts as that one, and
what comes after the last as that one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from visita.training.config import EndToEndConfig


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """Return the blocks that a network repeats, first to last; none where it repeats nothing.

    They are of one class: that of most of those elements of lists and sequences that are made of
    parts themselves.
    """
    elements = [
        element
        for module in network.modules()
        if isinstance(module, nn.ModuleList | nn.Sequential)
        for element in module
        if not isinstance(element, nn.ModuleList | nn.Sequential) and any(element.children())
    ]
    if not elements:
        return []
    [(kind, _)] = Counter(map(type, elements)).most_common(1)
    return [element for element in elements if type(element) is kind]


def layers_of(network: nn.Module) -> list[list[nn.Parameter]]:
    """Return the parameters of each layer, first to last; the order is that of the modules."""
    blocks = blocks_of(network)
    layers: list[list[nn.Parameter]] = [[] for _ in blocks or [network]]
    place = {p: number for number, block in enumerate(blocks) for p in block.parameters()}
    number = 0
    for parameter in network.parameters():
        number = place.get(parameter, number)
        layers[number].append(parameter)
    return layers


def frozen_count(layers: int, config: EndToEndConfig) -> int:
    """Return how many of so many layers are not learnt."""
    return int(config.frozen * layers)


def freeze(network: nn.Module, config: EndToEndConfig) -> Iterator[dict[str, Any]]:
    """Freeze the first layers, and yield the optimizer's group of each of the others.

    The learning rate of a layer is ``config.layer_decay`` times that of the next one.
    """
    layers = layers_of(network)
    first = frozen_count(len(layers), config)
    for parameter in chain(*layers[:first]):
        parameter.requires_grad_(False)
    for number, layer in enumerate(layers[first:], first):
        rate = config.encoder_learning_rate * config.layer_decay ** (len(layers) - 1 - number)
        # Decay would pull the weights towards 0 and not towards the pretrained ones.
        yield {"params": layer, "lr": rate, "weight_decay": 0.0}


class StochasticDepth:
    """Leave a residual block out for some pictures, later ones more often (Huang et al., 2016).

    Attributes
    ----------
    on : bool
        Whether it does.
    """

    def __init__(self, network: nn.Module, config: EndToEndConfig) -> None:
        self.on = False
        blocks = blocks_of(network)
        first = frozen_count(len(blocks), config)
        self._kept = {
            block: 1 - config.stochastic_depth * number / len(blocks)
            for number, block in enumerate(blocks)
            if number >= first
        }
        for block in self._kept if config.stochastic_depth else ():
            block.register_forward_hook(self._left_out, prepend=True)

    def _left_out(self, block: nn.Module, inputs: Sequence[Any], output: Any) -> Any:
        """Return what a block gives, for some pictures what it was given."""
        several = isinstance(output, tuple)
        after = output[0] if several else output
        before = inputs[0] if inputs else None
        # A block whose input has another shape adds nothing to it.
        if not self.on or not isinstance(before, Tensor) or before.shape != after.shape:
            return output
        kept = self._kept[block]
        # Drawn on the processor, whose generator is kept: a run that was killed draws the same.
        mask = (torch.rand(len(after), *[1] * (after.ndim - 1)) < kept).to(after) / kept
        left = torch.lerp(before.to(after), after, mask)
        return (left, *output[1:]) if several else left
