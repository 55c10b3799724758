"""Photographs that scikit-image carries: real pictures, where an extra has installed it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec

import numpy as np
from PIL import Image

SEEN = ("astronaut.png", "camera.png", "coffee.png", "coins.png", "grass.png", "rocket.jpg")
HELD_OUT = ("brick.png", "chelsea.png", "moon.png", "motorcycle_left.png", "page.png", "retina.jpg")
"""Two sets of like kinds: what is measured on one can be judged by the other."""
CROPS = 6
"""Of each photograph, of a third of its edges to the whole, upright and lying."""


def are_here() -> bool:
    """Tell whether scikit-image is installed."""
    return find_spec("skimage") is not None


def crops(names: Sequence[str]) -> list[Image.Image]:
    """Return ``CROPS`` pictures in RGB of each photograph, the same ones at each call."""
    rng = np.random.default_rng(0)
    return [crop for name in names for crop in _crops(_opened(name), rng)]


def _opened(name: str) -> Image.Image:
    with (files("skimage") / "data" / name).open("rb") as file:
        return Image.open(file).convert("RGB")


def _crops(picture: Image.Image, rng: np.random.Generator) -> list[Image.Image]:
    found = []
    for width, height in rng.uniform(1 / 3, 1, (CROPS, 2)) * picture.size:
        left, top = rng.uniform(0, 1, 2) * (picture.width - width, picture.height - height)
        found.append(picture.crop(tuple(map(round, (left, top, left + width, top + height)))))
    return found
