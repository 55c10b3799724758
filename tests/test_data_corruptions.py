"""Pictures made worse: the same for the same key, worse with each strength, of any shape."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from visita.data.corruptions import CORRUPTIONS, GREY, LONGEST, SIDE, STRENGTHS, corrupt
from visita.errors import ConfigError, UnknownNameError

NAMES = list(CORRUPTIONS)


@pytest.fixture(scope="module")
def photograph(photographs) -> Image.Image:
    with Image.open(photographs[1]) as picture:
        return picture.convert("RGB").resize((250, 200))


def psnr(one: Image.Image, other: Image.Image) -> float:
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return float(10 * np.log10(255**2 / np.mean(difference**2)))


def covered(picture: Image.Image) -> np.ndarray:
    """Return where the picture has the grey of the square, bool (height, width)."""
    return (np.asarray(picture) == GREY).all(axis=2)


@pytest.mark.parametrize("name", NAMES)
def test_each_strength_is_worse_than_the_one_before(photograph, name):
    worse = [corrupt(photograph, name, strength, "key") for strength in STRENGTHS]
    assert {one.size for one in worse} == {photograph.size}
    assert {one.mode for one in worse} == {"RGB"}
    quality = [psnr(photograph, one) for one in worse]
    assert quality == sorted(quality, reverse=True)
    assert len(set(quality)) == len(STRENGTHS) == len(CORRUPTIONS[name].amounts)
    assert quality[0] < 40


@pytest.mark.parametrize("name", NAMES)
def test_strength_0_is_the_picture_itself(photograph, name):
    assert corrupt(photograph, name, 0, "key") is photograph


@pytest.mark.parametrize("name", NAMES)
def test_the_same_key_gives_the_same_pixels_and_spares_the_original(photograph, name):
    before = photograph.tobytes()
    first, again = (corrupt(photograph, name, 3, "key").tobytes() for _ in range(2))
    other = corrupt(photograph, name, 3, "another key").tobytes()
    assert first == again
    assert (other != first) == (name in {"noise", "occlusion"})
    assert photograph.tobytes() == before


def test_the_noise_is_gaussian_and_as_loud_as_said():
    grey = Image.new("RGB", (256, 256), (128, 128, 128))
    found = [corrupt(grey, "noise", s, "key") for s in STRENGTHS[:3]]  # later ones are clipped
    for picture, amount in zip(found, CORRUPTIONS["noise"].amounts, strict=False):
        values = np.asarray(picture, np.float64) - 128
        assert abs(values.mean()) < 0.5
        assert values.std() == pytest.approx(255 * amount, rel=0.02)
        assert np.mean(np.abs(values) < values.std()) == pytest.approx(0.683, abs=0.01)


def test_the_square_covers_its_share_and_grows_about_its_place():
    white = Image.new("RGB", (200, 200), "white")
    masks = [covered(corrupt(white, "occlusion", strength, "key")) for strength in STRENGTHS]
    for mask, share in zip(masks, CORRUPTIONS["occlusion"].amounts, strict=True):
        assert mask.mean() == pytest.approx(share, abs=0.005)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        assert len(rows) == len(columns)
        assert mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    for smaller, larger in pairwise(masks):
        assert not (smaller & ~larger).any()
    places = {tuple(np.argwhere(covered(corrupt(white, "occlusion", 1, str(k))))[0]) for k in "abc"}
    assert len(places) == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (1, 1)),
        ((2, 700), (2, 700)),
        ((256, 300), (256, 300)),
        ((4000, 3000), (341, 256)),
        ((300, 70_000), (70, LONGEST)),
        ((1, 70_000), (1, LONGEST)),
    ],
)
def test_any_shape_is_brought_down_and_made_worse(name, size, expected):
    for strength in (1, 5):
        assert corrupt(Image.new("RGB", size, "red"), name, strength, "key").size == expected
    assert min(expected) <= SIDE


def test_unknown_names_and_strengths_are_refused(photograph):
    with pytest.raises(UnknownNameError, match="Did you mean 'noise'"):
        corrupt(photograph, "nois", 1, "key")
    for strength in (-1, 6):
        with pytest.raises(ConfigError, match=f"0 to 5, not {strength}"):
            corrupt(photograph, "blur", strength, "key")


def test_a_key_may_be_a_name_that_is_no_text(photograph):
    assert corrupt(photograph, "noise", 1, "caf\udce9.png").size == photograph.size
