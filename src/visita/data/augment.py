"""Views of pictures to train on: cropped, mirrored, coloured, and patched together of four.

RICAP is that of Takahashi, Matsubara & Uehara, *Data Augmentation using Random Image Cropping
and Patching for Deep CNNs* (2018): a random corner of each of four pictures, which meet at a
random point, and the share of the area that each takes as its label. What is random in one of the
``VIEWS`` depends on the picture's key alone, so that it is the same whenever it is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

AREA = 0.35
"""Share of the area that a random resized crop keeps at least."""
RATIO = 4 / 3
"""Of its width and height, or of its height and width, at most."""
TRIES = 10
"""Draws of a part that fits."""
JITTER = 0.3
"""Share by which brightness, contrast and colour differ at most."""
ENHANCED = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
VIEWS = ("crop", "flip", "crop-flip", "ricap")
"""A random crop, the mirrored picture, another crop of that, and RICAP."""
LEAST = 0.5
"""Share of the area that a crop keeps at least; it keeps the proportions."""
SIDE = 320
"""Pixels a side of what is patched together."""
BETA = 0.3
"""Of the beta distribution that the meeting point is drawn from, as the RICAP paper advises."""
RULES = "views-1"
"""Raised whenever the same key would give other pixels."""


def generator(view: str, key: str) -> np.random.Generator:
    """Return what a view of the picture ``key`` is drawn with."""
    text = f"{RULES}/{view}/{key}"
    return np.random.default_rng(int.from_bytes(sha256(text.encode()).digest()))


def cropped(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a random part of a picture, of its proportions and ``LEAST`` of its area or more."""
    edge = rng.uniform(LEAST, 1) ** 0.5
    size = [max(1, round(edge * length)) for length in picture.size]
    return _part(picture, size, rng.random(2))


def varied(picture: Image.Image, side: int, seed: int, *, mirror: bool) -> Image.Image:
    """Return a random part of an RGB picture, squashed to ``side`` pixels a side, jittered.

    The part is a random resized crop (Szegedy et al., 2015); with ``mirror`` every other one, by
    chance, is mirrored.
    """
    rng = np.random.default_rng(seed)
    part = picture.resize((side, side), Image.Resampling.BICUBIC, box=_box(picture.size, rng))
    if mirror and rng.random() < 0.5:
        part = mirrored(part)
    return _jittered(part, rng)


def _box(size: tuple[int, int], rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Return a random part of a picture: left, top, right and bottom; the whole where none fits."""
    width, height = size
    for _ in range(TRIES):
        area = rng.uniform(AREA, 1) * width * height
        ratio = math.exp(rng.uniform(-math.log(RATIO), math.log(RATIO)))
        wide, high = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if wide <= width and high <= height:
            left, top = rng.uniform(0, width - wide), rng.uniform(0, height - high)
            return left, top, left + wide, top + high
    return 0, 0, width, height


def _jittered(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Return a picture of a little other contrast, brightness and, at times, colour."""
    if rng.random() < 0.2:
        return picture
    strengths = [rng.uniform(1 - JITTER, 1 + JITTER) for _ in range(3)]
    for kind, strength in zip(ENHANCED, strengths, strict=True):
        picture = kind(picture).enhance(strength)
    return picture


def mirrored(picture: Image.Image) -> Image.Image:
    """Return the picture with left and right exchanged."""
    return picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


@dataclass(frozen=True, eq=False)
class Patchwork:
    """How four pictures become one of ``SIDE`` x ``SIDE`` pixels.

    Attributes
    ----------
    meeting : int64 (2,)
        The point where they meet, from the left and from the top.
    places : float64 (4, 2)
        Where in each picture its patch is cut out, 0 to 1, from the left and from the top.
    """

    meeting: NDArray[np.int64]
    places: NDArray[np.float64]

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Return a random one."""
        meeting = np.rint(SIDE * rng.beta(BETA, BETA, 2)).astype(np.int64)
        return cls(meeting, rng.random((4, 2)))

    def sizes(self) -> NDArray[np.int64]:
        """Return width and height of each patch: top left and right, bottom left and right."""
        (x, y), rest = self.meeting, SIDE - self.meeting
        return np.array([[x, y], [rest[0], y], [x, rest[1]], rest])

    def shares(self) -> NDArray[np.float64]:
        """Return the share of the area that each picture takes, (4,); they sum to 1."""
        return np.asarray(self.sizes().prod(axis=1) / SIDE**2)

    def of(self, pictures: Sequence[Image.Image]) -> Image.Image:
        """Return four RGB pictures as one; each is first squashed to the same square."""
        patchwork = Image.new("RGB", (SIDE, SIDE))
        corners = [(x, y) for y in (0, self.meeting[1]) for x in (0, self.meeting[0])]
        for picture, size, place, (x, y) in zip(
            pictures, self.sizes(), self.places, corners, strict=True
        ):
            if size.all():
                square = picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC)
                patchwork.paste(_part(square, size.tolist(), place), (int(x), int(y)))
        return patchwork


def _part(picture: Image.Image, size: Sequence[int], place: NDArray[np.float64]) -> Image.Image:
    width, height = size
    left = int(place[0] * (picture.width - width + 1))
    top = int(place[1] * (picture.height - height + 1))
    return picture.crop((left, top, left + width, top + height))
