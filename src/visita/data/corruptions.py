"""Pictures made worse on purpose: noise, blur, JPEG and occlusion, at five strengths each.

The amounts of the first three are those of ImageNet-C (Hendrycks & Dietterich, *Benchmarking
Neural Network Robustness to Common Corruptions and Perturbations*, 2019), which photographs meet
at a shorter side of 256 pixels; a larger one is brought down to it first, so that a strength
means the same whatever the camera.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO

import numpy as np
from PIL import Image, ImageFilter

from visita.errors import ConfigError, UnknownNameError, did_you_mean

SIDE = 256
"""Pixels of the shorter side."""
LONGEST = 64 * SIDE
"""Pixels of the longer side of very long pictures, within what a JPEG can hold."""
GREY = (127, 127, 127)
RULES = "corruptions-1"
"""Raised whenever the same strength would give other pixels."""


@dataclass(frozen=True)
class Corruption:
    """One way to make a picture worse.

    Attributes
    ----------
    amount : str
        What ``amounts`` are.
    amounts : tuple of float
        From strength 1 on.
    apply : callable
        RGB picture, amount, generator → RGB picture of the same size.
    """

    amount: str
    amounts: tuple[float, ...]
    apply: Callable[[Image.Image, float, np.random.Generator], Image.Image]


def corrupt(picture: Image.Image, name: str, strength: int, key: str) -> Image.Image:
    """Return the RGB picture with one of ``CORRUPTIONS`` at a strength of 1 to 5; 0 is as it was.

    What is random depends on ``name`` and ``key``, which tells pictures apart, alone: at a greater
    strength the same noise is louder and the square, about the same place, larger.

    Raises
    ------
    UnknownNameError
        If there is no such corruption.
    ConfigError
        If there is no such strength.
    """
    if name not in CORRUPTIONS:
        raise UnknownNameError(
            f"No corruption is called {name!r}.{did_you_mean(name, CORRUPTIONS)} "
            f"Known: {', '.join(CORRUPTIONS)}."
        )
    corruption = CORRUPTIONS[name]
    if not 0 <= strength <= len(corruption.amounts):
        raise ConfigError(f"A strength is 0 to {len(corruption.amounts)}, not {strength}.")
    if strength == 0:
        return picture
    seed = int.from_bytes(sha256(f"{name}/{key}".encode("utf-8", "surrogatepass")).digest())
    rng = np.random.default_rng(seed)
    return corruption.apply(_brought_down(picture), corruption.amounts[strength - 1], rng)


def _brought_down(picture: Image.Image) -> Image.Image:
    scale = min(1, SIDE / min(picture.size), LONGEST / max(picture.size))
    if scale == 1:
        return picture
    width, height = (max(1, round(scale * edge)) for edge in picture.size)
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _noise(picture: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    pixels = np.asarray(picture, np.float32)
    noisy = pixels + 255 * amount * rng.standard_normal(pixels.shape, np.float32)
    return Image.fromarray(np.rint(noisy).clip(0, 255).astype(np.uint8))


def _blur(picture: Image.Image, amount: float, _: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(amount))


def _jpeg(picture: Image.Image, amount: float, _: np.random.Generator) -> Image.Image:
    file = BytesIO()
    picture.save(file, "JPEG", quality=int(amount))
    return Image.open(file, formats=["JPEG"]).convert("RGB")


def _occlusion(picture: Image.Image, amount: float, rng: np.random.Generator) -> Image.Image:
    width, height = (max(1, round(edge * amount**0.5)) for edge in picture.size)
    x, y = rng.random(2)
    covered = picture.copy()
    left, top = int(x * (picture.width - width)), int(y * (picture.height - height))
    covered.paste(GREY, (left, top, left + width, top + height))
    return covered


CORRUPTIONS = {
    "noise": Corruption("deviation, of white", (0.08, 0.12, 0.18, 0.26, 0.38), _noise),
    "blur": Corruption("deviation, pixels", (1, 2, 3, 4, 6), _blur),
    "jpeg": Corruption("quality, of 100", (25, 18, 15, 10, 7), _jpeg),
    "occlusion": Corruption("share of the area", (0.1, 0.2, 0.3, 0.4, 0.5), _occlusion),
}
"""Noise and blur are Gaussian; occlusion is a grey rectangle of the picture's own proportions, a
square in a square one, at a random place."""
STRENGTHS = (1, 2, 3, 4, 5)
