"""Shares of colours: what a picture is painted in is what is found."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from visita.encoders.colours import FOCAL, SIDE, Colours, lab
from visita.store.pictures import RecipeEncoder
from visita.testing import check_encoder
from visita.types import Recipe

WORDS = list(FOCAL)


@pytest.fixture(scope="module")
def colours() -> RecipeEncoder:
    return RecipeEncoder(Recipe({"colours": ("whole", "centre")}))


def shares(colours: RecipeEncoder, picture: Image.Image) -> dict[str, np.ndarray]:
    found = colours.encode_pictures([picture])
    return {level: found[f"colours/{level}"][0] for level in ("whole", "centre")}


def test_the_contract():
    check_encoder(Colours())


def test_a_picture_of_one_colour_is_that_colour(colours):
    for number, colour in enumerate(FOCAL.values()):
        found = shares(colours, Image.new("RGB", (50, 30), colour))
        for level in found.values():
            assert level.argmax() == number and level[number] > 0.85
            assert np.isclose(level.sum(), 1, atol=1e-3)


def test_other_hues_of_a_word_are_that_word(colours):
    for word, colour in {
        "blue": (20, 50, 140),
        "green": (90, 170, 70),
        "red": (170, 20, 20),
    }.items():
        assert WORDS[shares(colours, Image.new("RGB", (9, 9), colour))["whole"].argmax()] == word


def test_shares_are_those_of_the_area(colours):
    picture = Image.new("RGB", (SIDE, SIDE), FOCAL["green"])
    picture.paste(FOCAL["red"], (SIDE // 4, SIDE // 4, 3 * SIDE // 4, 3 * SIDE // 4))
    found = shares(colours, picture)
    red, green = WORDS.index("red"), WORDS.index("green")
    assert found["centre"][red] > 0.95 and found["centre"][green] < 0.02
    assert np.isclose(found["whole"][red], 0.25, atol=0.02)
    assert np.isclose(found["whole"][green], 0.75, atol=0.05)


def test_the_distance_is_that_of_cielab():
    # Known values of sRGB's corners under D65.
    expected = {
        (255, 255, 255): (100, 0, 0),
        (0, 0, 0): (0, 0, 0),
        (255, 0, 0): (53.24, 80.09, 67.20),
        (0, 0, 255): (32.30, 79.19, -107.86),
        (119, 119, 119): (50.03, 0, 0),
    }
    found = lab(np.array(list(expected), np.float32))
    assert np.allclose(found, list(expected.values()), atol=0.05)
