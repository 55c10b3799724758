"""Any layer of any network as a level, read by forward hooks and pooled by its shape.

A level is the name of a module (``named_modules``) with a pooling, as in ``layer3.1:avg``;
where the layer returns a vector, the bare name. Of a layer that returns several tensors the
first counts; of a layer that runs several times, the last run.

From the output of a layer to a level, by the shape that it has.

For b pictures a layer may return

- (b, d): a vector, which is a level as it is;
- (b, c, h, w) or (b, h, w, c) with h = w: a map of h x w cells;
- (b, tokens, d): each patch is a cell. Class, distillation and register tokens come first
  and are no cells; the class token is a level of its own, ``cls``;
- (b, d, 1): one cell, as from a pool over tokens.

Cells are pooled by ``avg``, ``max`` or ``gem``, or kept as ``grid``, row by row. Where they are a
square, ``5x5`` averages them to 25, so that grids of different layers and encoders fit together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from math import isqrt
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from visita.encoders.library.networks import AnyPreparation, Preparation
from visita.errors import ConfigError
from visita.types import is_grid

CELLS = ("avg", "max", "gem", "grid")
SQUARE = "5x5"
SIDE = 5
GEM_POWER = 3.0
GEM_FLOOR = 1e-6
"""Generalised-mean pooling: Radenović et al. (2019), "Fine-tuning CNN Image Retrieval with No
Human Annotation", eq. 3, with the power and the floor of their code."""
CLASS_TOKENS = ("cls_token", "class_token", "class_embedding")
OTHER_TOKENS = ("distillation_token", "dist_token", "register_tokens", "reg_token")
"""What torchvision, timm and transformers call the tokens before the patches."""


class Tokens:
    """The tokens that a network puts before its patches.

    They are parameters of the network, so names and shapes tell how many there are.
    """

    def __init__(self, network: nn.Module) -> None:
        parameters = [
            (name.rpartition(".")[2], values) for name, values in network.named_parameters()
        ]
        self.has_class = any(name in CLASS_TOKENS for name, _ in parameters)
        self.count = sum(
            values.shape[-2] if values.ndim > 1 else 1
            for name, values in parameters
            if name in CLASS_TOKENS + OTHER_TOKENS
        )

    def before_patches(self, length: int) -> int:
        """Return how many of ``length`` tokens come before a square of patches."""
        patches = max(0, length - self.count)
        return self.count if patches and isqrt(patches) ** 2 == patches else 0


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor of what a layer returned, or None."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = tuple(output.values())
    return first_tensor(output[0]) if isinstance(output, tuple | list) and output else None


def poolings(output: Tensor, tokens: Tokens) -> tuple[str, ...]:
    """Return the poolings that fit a layer's output: ("",) for a vector, () where none does."""
    if output.ndim == 2:
        return ("",)
    is_map = output.ndim == 4 and (_is_square(output, 2, 3) or _is_square(output, 1, 2))
    if output.ndim != 3 and not is_map:
        return ()
    count = _cells(output, tokens).shape[1]
    fitting = (*CELLS, SQUARE) if count > 1 and isqrt(count) ** 2 == count else CELLS
    has_class = output.ndim == 3 and tokens.has_class and tokens.before_patches(output.shape[1]) > 0
    return (*fitting, "cls") if has_class and output.shape[2] > 1 else fitting


def pooled(output: Tensor, pooling: str, tokens: Tokens) -> Tensor:
    """Return a level, float32: (b, d), or (b, cells, d) for ``grid`` and ``5x5``."""
    output = output.float()
    if pooling == "":
        return output.clone()
    if pooling == "cls":
        return output[:, 0].clone()
    cells = _cells(output, tokens)
    if pooling == "avg":
        return cells.mean(1)
    if pooling == "max":
        return cells.amax(1)
    if pooling == "gem":
        return cells.clamp(min=GEM_FLOOR).pow(GEM_POWER).mean(1).pow(1 / GEM_POWER)
    return _averaged(cells) if pooling == SQUARE else cells.clone()


def _averaged(cells: Tensor) -> Tensor:
    side = isqrt(cells.shape[1])
    maps = cells.transpose(1, 2).reshape(-1, cells.shape[2], side, side)
    return adaptive_avg_pool2d(maps, SIDE).flatten(2).transpose(1, 2)


def _cells(output: Tensor, tokens: Tokens) -> Tensor:
    if output.ndim == 3 and output.shape[2] == 1:
        return output.transpose(1, 2)
    if output.ndim == 3:
        return output[:, tokens.before_patches(output.shape[1]) :]
    if _is_square(output, 2, 3):  # channels first; also where all three sides are equal
        return output.flatten(2).transpose(1, 2)
    return output.flatten(1, 2)


def _is_square(output: Tensor, first: int, second: int) -> bool:
    return output.shape[first] == output.shape[second]


_FOUND: ContextVar[dict[str, Tensor]] = ContextVar("found")


# Not an attribute: several threads may run one network at once.


class Normalise(nn.Module):
    """Pixels, uint8 (b, side, side, 3) → what a network reads, float32 (b, 3, side, side)."""

    mean: Tensor
    std: Tensor

    def __init__(self, preparation: AnyPreparation) -> None:
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
    model: str,
    preparation: AnyPreparation,
    library: Callable[[Image.Image], Any],
    arranged: Callable[[Tensor], Tensor] = lambda pixels: pixels,
) -> None:
    """Compare a preparation with what the library itself makes of two pictures.

    ``arranged`` makes of what is prepared, (1, 3, side, side), what the library gives of a picture.

    Raises
    ------
    ConfigError
        If they differ: the library does something that a ``Preparation`` cannot say.
    """
    rng = np.random.default_rng(0)
    for size in ((301, 200), (83, 120)):
        picture = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
        pixels = torch.from_numpy(np.stack([preparation(picture)]))
        ours = arranged(Normalise(preparation)(pixels))[0].numpy()
        theirs = np.asarray(library(picture), dtype=np.float32)
        if ours.shape != theirs.shape or not np.allclose(ours, theirs, atol=1e-5):
            raise ConfigError(
                f"{model} wants its pictures prepared in a way that visita does not know; "
                "choose another model."
            )


class LayerNetwork(nn.Module):
    """Run a network once and return the asked levels, in the asked order."""

    def __init__(
        self, network: nn.Module, preparation: AnyPreparation, levels: Sequence[str]
    ) -> None:
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
        outputs: dict[str, Tensor] = {}
        before = _FOUND.set(outputs)
        try:
            self.network(self.normalise(pixels))
        finally:
            _FOUND.reset(before)
        return tuple(outputs[level] for level in self.levels)


def _keep_level(level: str, tokens: Tokens, _layer: nn.Module, _inputs: Any, output: Any) -> None:
    # Pooled at once, for a later layer may write over this output in place.
    tensor = first_tensor(output)
    assert tensor is not None  # or it would not be a level
    _FOUND.get()[level] = pooled(tensor, level.partition(":")[2], tokens)


def level_shapes(network: nn.Module, preparation: AnyPreparation) -> dict[str, tuple[int, ...]]:
    """Run two pictures through a network and return each level's shape a picture.

    What is not finite, or the same for both pictures (a bare class token, say), is no level. Nor
    are the cells of pictures that keep their shape, as those are no square.
    """
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    tokens = Tokens(network)

    def keep(name: str, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        shapes[name] = _shapes(name, first_tensor(output), tokens)

    layers = {name: layer for name, layer in network.named_modules() if name}
    hooks = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers.items()]
    try:
        with torch.inference_mode():
            network(Normalise(preparation)(_two_pictures(preparation.side)))
    finally:
        for hook in hooks:
            hook.remove()
    squares = isinstance(preparation, Preparation)
    return {
        level: shape
        for name in layers
        for level, shape in shapes.get(name, {}).items()
        if squares or not is_grid(level)
    }


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
