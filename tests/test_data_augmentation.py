"""Augmented views: the right pixels, by their definitions, the same for the same key."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageOps

from visita.data.augment import LEAST, SIDE, Patchwork, cropped, generator, mirrored, varied

COLOURS = ((250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0))


def places(width: int, height: int) -> Image.Image:
    """Return a picture whose pixels tell where they are."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack([x % 256, y % 256, x // 256 + 16 * (y // 256)], 2).astype("u1"))


def test_a_crop_is_a_part_of_the_same_shape():
    picture = places(300, 200)
    corners, areas = set(), []
    for seed in range(60):
        found = np.asarray(cropped(picture, np.random.default_rng(seed))).astype(int)
        height, width = found.shape[:2]
        left, top = found[0, 0, 0] + 256 * (found[0, 0, 2] % 16), found[0, 0, 1]
        expected = np.asarray(picture)[top : top + height, left : left + width]
        assert np.array_equal(found, expected)
        assert width / height == pytest.approx(1.5, rel=0.02)
        areas.append(width * height / 60_000)
        corners.add((left, top))
    assert min(areas) > LEAST - 0.01 and max(areas) <= 1 and np.ptp(areas) > 0.3
    assert len(corners) > 40


def test_the_mirrored_picture_has_left_and_right_exchanged():
    picture = places(30, 20)
    assert np.array_equal(np.asarray(mirrored(picture)), np.asarray(ImageOps.mirror(picture)))


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2)])
def test_the_smallest_pictures_have_parts(size):
    for seed in range(20):
        assert min(cropped(Image.new("RGB", size), np.random.default_rng(seed)).size) >= 1


def test_shares_are_those_of_the_area():
    flat = [Image.new("RGB", (40 + 9 * n, 50), colour) for n, colour in enumerate(COLOURS)]
    drawn = []
    for seed in range(25):
        patchwork = Patchwork.draw(np.random.default_rng(seed))
        pixels = np.asarray(patchwork.of(flat)).reshape(-1, 3)
        assert len(pixels) == SIDE**2
        counted = [(pixels == colour).all(1).mean() for colour in COLOURS]
        assert np.allclose(patchwork.shares(), counted) and sum(counted) == pytest.approx(1)
        drawn.append(patchwork.meeting / SIDE)
    # Beta(0.3, 0.3) has most of its mass near the edges.
    assert np.mean(np.abs(np.array(drawn) - 0.5) > 0.25) > 0.5


def test_patches_meet_in_a_point_and_are_cut_out_where_it_says():
    patchwork = Patchwork(
        np.array([100, 60]), np.array([[0, 0], [0.999, 0.999], [0.5, 0], [0, 0.25]])
    )
    own = places(SIDE, SIDE)
    whole = np.asarray(patchwork.of([own] * 4))
    pixels = np.asarray(own)
    spans = {
        (0, 0): (0, 0, 100, 60),
        (100, 0): (SIDE - 220, SIDE - 60, 220, 60),
        (0, 60): (int(0.5 * (SIDE - 99)), 0, 100, SIDE - 60),
        (100, 60): (0, int(0.25 * (SIDE - 259)), 220, SIDE - 60),
    }
    for (x, y), (left, top, width, height) in spans.items():
        there = whole[y : y + height, x : x + width]
        assert np.array_equal(there, pixels[top : top + height, left : left + width])


def test_a_patch_without_area_is_left_out():
    patchwork = Patchwork(np.array([0, SIDE]), np.zeros((4, 2)))
    flat = [Image.new("RGB", (8, 8), colour) for colour in COLOURS]
    assert patchwork.shares().tolist() == [0, 1, 0, 0]
    assert (np.asarray(patchwork.of(flat)) == COLOURS[1]).all()


def test_a_view_depends_on_the_key_and_its_name_alone():
    picture = places(90, 60)
    drawn = {
        (view, key): cropped(picture, generator(view, key)).tobytes()
        for view in ("crop", "crop-flip")
        for key in ("one", "two")
    }
    assert len(set(drawn.values())) == 4
    assert cropped(picture, generator("crop", "one")).tobytes() == drawn["crop", "one"]


def test_a_varied_view_is_a_random_part_in_about_the_same_colours():
    picture = places(240, 240)
    parts, brightest = [], []
    for seed in range(60):
        view = varied(picture, 96, seed, mirror=False)
        assert view.size == (96, 96) and view.mode == "RGB"
        # Red is the place from the left, green that from the top, but for contrast and light.
        x, y = np.asarray(view).astype(float)[:, :, 0], np.asarray(view).astype(float)[:, :, 1]
        assert x[48, 90] > x[48, 5] and y[90, 48] > y[5, 48]
        parts.append([x[48, 90] - x[48, 5], y[90, 48] - y[5, 48]])
        brightest.append(np.asarray(view).mean())
    wide, high = np.array(parts).T
    assert np.ptp(wide) > 60 and np.std(np.log(wide / high)) > 0.1
    assert np.ptp(brightest) > 30
    assert (
        np.asarray(varied(picture, 96, 1, mirror=False)).tobytes()
        == np.asarray(varied(picture, 96, 1, mirror=False)).tobytes()
    )


def test_every_other_view_is_mirrored_where_that_is_asked():
    picture = places(240, 240)

    def turned(mirror: bool) -> float:
        views = [np.asarray(varied(picture, 64, seed, mirror=mirror)) for seed in range(60)]
        return float(np.mean([view[32, 60, 0] < view[32, 4, 0] for view in views]))

    assert turned(mirror=False) == 0 and 0.3 < turned(mirror=True) < 0.7


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (900, 3)])
def test_pictures_of_any_shape_have_varied_views(size):
    for seed in range(10):
        assert varied(Image.new("RGB", size), 32, seed, mirror=True).size == (32, 32)
