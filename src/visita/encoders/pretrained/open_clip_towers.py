"""The towers of open_clip's models: layers by number, and the vector that is compared."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

from visita.encoders.library.layers import first_tensor

BLOCKS = ("transformer.resblocks", "trunk.blocks", "trunk.stages", "trunk.layers")
"""Where vision towers have their layers: open_clip's ViT, and the networks of timm."""
_STATES: ContextVar[list[Tensor]] = ContextVar("states")


class OpenClipPictures(nn.Module):
    """A vision tower, with its layers as ``layer1`` … and what is compared as ``vector``."""

    def __init__(self, visual: Any, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        for number, layer in enumerate(layers, 1):
            self.add_module(f"layer{number}", layer)
        self.vector = nn.Identity()
        self.visual = visual

    def forward(self, pixels: Tensor) -> Tensor:
        """Map pixels, float32 (b, 3, side, side), to vectors (b, d)."""
        vector = first_tensor(self.visual(pixels))
        return self.vector(vector)  # type: ignore[no-any-return]


class OpenClipTexts(nn.Module):
    """A text tower that also gives the states of its layers; padding is what the ids say."""

    def __init__(self, network: Any, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.network = network
        for layer in layers:
            layer.register_forward_hook(_keep)

    def forward(self, ids: Tensor, _mask: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """Map ids and mask, int64 (b, t), to the states of each layer (b, t, d) and vectors."""
        states: list[Tensor] = []
        before = _STATES.set(states)
        try:
            vector = self.network.encode_text(ids)
        finally:
            _STATES.reset(before)
        # CoCa's has a token of its own at the end.
        return [state[:, : ids.shape[1]] for state in states], vector


def _keep(_layer: nn.Module, _inputs: Any, output: Any) -> None:
    state = first_tensor(output)
    assert state is not None
    _STATES.get().append(state)


def tower_of(visual: Any) -> OpenClipPictures:
    """Return the vision tower."""
    modules = dict(visual.named_modules())
    [layers, *_] = [modules[path] for path in BLOCKS if path in modules] or [[]]
    stages = [modules[f"layer{number}"] for number in range(1, 5) if f"layer{number}" in modules]
    return OpenClipPictures(visual, [*layers, *stages])


def texts_of(network: Any, longest: int) -> tuple[OpenClipTexts, tuple[int, int], int]:
    """Return the text tower, how many layers of which width it has, and the vectors' width."""
    text = getattr(network, "text", None)
    within = network.transformer if text is None else text.transformer
    layers = next(module for module in within.modules() if isinstance(module, nn.ModuleList))
    tower = OpenClipTexts(network, list(layers)).eval()
    ids = torch.zeros(1, longest, dtype=torch.int64)
    with torch.inference_mode():
        states, vector = tower(ids, ids)
    return tower, (len(states), states[0].shape[-1]), vector.shape[-1]
