"""A small matcher of two stages, trained once a session."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock
from PIL import Image, ImageDraw

from visita.data import PairSet
from visita.home import cache_home
from visita.search.finder import Finder
from visita.training.config import FusionConfig
from visita.training.mkl_config import CrossModalConfig, MklVisitaConfig
from visita.training.two_stage import train_two_stages

NAME = "tiny-two-stages"
FUSION = FusionConfig(
    image_levels={"efficientnet-lite0": ("block10:avg", "head:avg")},
    mirror=False,
    text_levels=("layer3", "layer6"),
    class_names_weight=0,
    keywords_per_image=0,
    dim=32,
    fusion_dim=32,
    hidden=32,
    epochs=1,
)
"""Vectors that are trained in a second or two."""
SECOND = CrossModalConfig(
    image_levels={"efficientnet-lite0": ("block11:5x5", "block15:5x5")},
    text_levels=("layer6",),
    epochs=12,
    batch=16,
    width=32,
    dim=16,
    heads=2,
)


def two_stages(pairs: PairSet) -> Path:
    """Return the folder of a matcher trained on drawn pairs."""
    folder = cache_home() / NAME
    with FileLock(folder.with_suffix(".lock")):  # of all workers the first trains it
        if not folder.is_dir():
            train_two_stages(pairs, folder, config=MklVisitaConfig(first=FUSION, second=SECOND))
    return folder


def folder_of(finder: Finder) -> Path:
    """Return where a finder's matcher was saved by ``two_stages``."""
    return cache_home() / finder.matcher.name


def draw_scene(colour: str, background: str, cell: int) -> Image.Image:
    """Return a picture of 200 x 160 with one circle, inside one of its 5 x 5 cells."""
    picture = Image.new("RGB", (200, 160), background)
    row, column = divmod(cell, 5)
    x, y = 40 * column + 20, 32 * row + 16
    ImageDraw.Draw(picture).ellipse((x - 15, y - 15, x + 15, y + 15), fill=colour)
    return picture
