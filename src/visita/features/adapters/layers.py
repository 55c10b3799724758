"""Any layer of any network as a level, read by forward hooks.

A level is the name of a module (``named_modules``) with a pooling, as in ``layer3.1:avg``;
where the layer returns a vector, the bare name. Of a layer that returns several tensors the
first counts; of a layer that runs several times, the last run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from visita.errors import ConfigError
from visita.features.adapters.pooling import Tokens, first_tensor, pooled, poolings
from visita.features.adapters.preparation import Preparation

_FOUND: ContextVar[dict[str, Tensor]] = ContextVar("found")
# Not an attribute: several threads may run one network at once.


class Normalise(nn.Module):
    """Pixels, uint8 (b, side, side, 3) → what a network reads, float32 (b, 3, side, side)."""

    mean: Tensor
    std: Tensor

    def __init__(self, preparation: Preparation) -> None:
        super().__init__()
        self.divisor = preparation.divisor
        for name in ("mean", "std"):
            values = torch.tensor(getattr(preparation, name), dtype=torch.float32)
            self.register_buffer(name, values[:, None, None])

    def forward(self, pixels: Tensor) -> Tensor:
        """Scale and normalise."""
        # Contiguous as the libraries' own: convolutions round differently over another layout.
        x = pixels.permute(0, 3, 1, 2).contiguous().to(torch.float32) / self.divisor
        return (x - self.mean) / self.std


def check_preparation(
    model: str, preparation: Preparation, library: Callable[[Image.Image], Any]
) -> None:
    """Compare a preparation with what the library itself makes of two pictures.

    Raises
    ------
    ConfigError
        If they differ: the library does something that a ``Preparation`` cannot say.
    """
    rng = np.random.default_rng(0)
    for size in ((301, 200), (83, 120)):
        picture = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        pixels = torch.from_numpy(np.stack([preparation(picture)]))
        ours = Normalise(preparation)(pixels)[0].numpy()
        theirs = np.asarray(library(picture), dtype=np.float32)
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, atol=1e-5):
            raise ConfigError(
                f"{model} wants its pictures prepared in a way that visita does not know; "
                "choose another model."
            )


class LayerNetwork(nn.Module):
    """Run a network once and return the asked levels, in the asked order."""

    def __init__(self, network: nn.Module, preparation: Preparation, levels: Sequence[str]) -> None:
        super().__init__()
        self.normalise = Normalise(preparation)
        self.network = network
        self.levels = tuple(levels)
        tokens = Tokens(network)
        for level in levels:
            layer = network.get_submodule(level.partition(":")[0])
            layer.register_forward_hook(partial(_keep_level, level, tokens))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Map pixels, uint8 (b, side, side, 3), to float32 (b, d) or (b, cells, d) a level."""
        found: dict[str, Tensor] = {}
        before = _FOUND.set(found)
        try:
            self.network(self.normalise(pixels))
        finally:
            _FOUND.reset(before)
        return tuple(found[level] for level in self.levels)


def _keep_level(level: str, tokens: Tokens, _layer: nn.Module, _inputs: Any, output: Any) -> None:
    # Pooled at once, for a later layer may write over this output in place.
    tensor = first_tensor(output)
    assert tensor is not None  # or it would not be a level
    _FOUND.get()[level] = pooled(tensor, level.partition(":")[2], tokens)


def level_shapes(network: nn.Module, preparation: Preparation) -> dict[str, tuple[int, ...]]:
    """Run two pictures through a network and return each level's shape a picture.

    What is not finite, or the same for both pictures (a bare class token, say), is no level.
    """
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    tokens = Tokens(network)

    def keep(name: str, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        found[name] = _shapes(name, first_tensor(output), tokens)

    layers = {name: layer for name, layer in network.named_modules() if name}
    hooks = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers.items()]
    try:
        with torch.inference_mode():
            network(Normalise(preparation)(_two_pictures(preparation.side)))
    finally:
        for hook in hooks:
            hook.remove()
    return {level: shape for name in layers for level, shape in found.get(name, {}).items()}


def _two_pictures(side: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (side, side, 3), dtype=torch.uint8, generator=generator)
    return torch.stack([torch.zeros_like(noise), noise])


def _shapes(name: str, output: Tensor | None, tokens: Tokens) -> dict[str, tuple[int, ...]]:
    if output is None or output.ndim < 2 or len(output) != 2:
        return {}
    shapes = {}
    for pooling in poolings(output, tokens):
        values = pooled(output, pooling, tokens)
        if bool(values.isfinite().all()) and not torch.equal(values[0], values[1]):
            shapes[f"{name}:{pooling}" if pooling else name] = tuple(values.shape[1:])
    return shapes
