"""Draw a small data set: coloured shapes, each picture beside its captions.

python tests/drawn.py FOLDER --n 100
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 96, 80
COLOURS = {
    "red": (214, 39, 40),
    "blue": (31, 90, 200),
    "green": (40, 150, 60),
    "yellow": (245, 210, 50),
    "purple": (140, 70, 170),
    "orange": (250, 130, 20),
    "black": (15, 15, 15),
    "white": (250, 250, 250),
}
SHAPES = ("circle", "square", "triangle", "star", "stripe")


class Scene(NamedTuple):
    """What one picture shows: one or two objects, each with a colour and a shape."""

    objects: tuple[tuple[str, str], ...]
    background: str


def draw_pairs(folder: Path, n: int = 100, seed: int = 0) -> list[Path]:
    """Write n different pictures (JPEG and PNG by turns), each with three captions beside it.

    There are some thousand scenes to draw from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    scenes: dict[Scene, None] = {}
    while len(scenes) < n:
        scenes[_imagine(rng)] = None
    paths = []
    for number, scene in enumerate(scenes):
        path = folder / f"{number:05d}.{('jpg', 'png')[number % 2]}"
        _draw(scene, rng).save(path)
        path.with_suffix(".txt").write_text("\n".join(_captions(scene)) + "\n", "utf-8")
        paths.append(path)
    return paths


def _imagine(rng: np.random.Generator) -> Scene:
    colours = rng.permutation(list(COLOURS))
    shapes = rng.choice(SHAPES, size=2)
    count = int(rng.integers(1, 3))
    objects = tuple((str(colours[i]), str(shapes[i])) for i in range(count))
    return Scene(objects, str(colours[2]))


def _captions(scene: Scene) -> tuple[str, str, str]:
    things = [f"{colour} {shape}" for colour, shape in scene.objects]
    listed = " and ".join(f"{_article(thing)} {thing}" for thing in things)
    verb = "is" if len(things) == 1 else "are"
    return (
        f"{listed} on {_article(scene.background)} {scene.background} background",
        f"there {verb} {listed} in front of {scene.background}",
        f"{scene.background} picture with {listed}",
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _draw(scene: Scene, rng: np.random.Generator) -> Image.Image:
    picture = Image.new("RGB", (WIDTH, HEIGHT), COLOURS[scene.background])
    draw = ImageDraw.Draw(picture)
    room = WIDTH / len(scene.objects)
    for place, (colour, shape) in enumerate(scene.objects):
        radius = rng.uniform(14, 20)
        x = place * room + rng.uniform(radius, room - radius)
        y = rng.uniform(radius, HEIGHT - radius)
        _draw_shape(draw, shape, (x, y, radius), COLOURS[colour])
    return picture


def _draw_shape(
    draw: ImageDraw.ImageDraw,
    shape: str,
    where: tuple[float, float, float],
    colour: tuple[int, int, int],
) -> None:
    x, y, radius = where
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "circle":
        draw.ellipse(box, fill=colour)
    elif shape == "square":
        draw.rectangle(box, fill=colour)
    elif shape == "stripe":
        draw.rectangle((x - radius / 3, 0, x + radius / 3, HEIGHT), fill=colour)
    else:
        reach = (radius,) * 3 if shape == "triangle" else (radius, radius * 0.4) * 5
        turns = [2 * math.pi * corner / len(reach) for corner in range(len(reach))]
        draw.polygon(
            [(x + r * math.sin(a), y - r * math.cos(a)) for r, a in zip(reach, turns, strict=True)],
            fill=colour,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    draw_pairs(arguments.folder, arguments.n, arguments.seed)
