"""Weights as they are kept: how far they are off, and that once is for good."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

import visita
from visita.encoders.weights import LARGE, SCALE, from_planes, in_planes, restored, rounded
from visita.errors import ArtifactError

ROWS = 400


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    large = rng.normal(size=(ROWS, LARGE // ROWS + 1)) * np.exp(rng.normal(size=(ROWS, 1)))
    large[7] = 0
    return {
        "large": large.astype(np.float32),
        "small": rng.normal(size=(30, 40)).astype(np.float32),
        "number": np.asarray(3.5, np.float32),
        "long": rng.normal(size=LARGE + 5).astype(np.float32),
    }


def test_no_weight_is_off_by_more_than_half_a_step_of_its_row(weights):
    found = restored(rounded(weights))
    assert found.keys() == weights.keys()
    step = np.abs(weights["large"]).max(axis=1, keepdims=True) / 127
    assert (np.abs(found["large"] - weights["large"]) <= 0.501 * step).all()
    for name in ("small", "long", "number"):
        assert isinstance(found[name], np.ndarray)
        assert np.array_equal(found[name], weights[name].astype(np.float16).astype(np.float32))
    assert {values.dtype for values in found.values()} == {np.dtype(np.float32)}


def test_large_matrices_take_a_byte_a_number(weights):
    kept = rounded(weights)
    assert kept["large"].dtype == np.int8 and kept["large" + SCALE].shape == (ROWS, 1)
    assert kept["small"].dtype == kept["long"].dtype == np.float16


def test_groups_of_a_row_have_a_scale_each_and_are_nearer():
    rng = np.random.default_rng(0)
    weights = {"large": rng.normal(size=(700, 192)).astype(np.float32)}
    whole, grouped = rounded(weights), rounded(weights, 64)
    assert grouped["large" + SCALE].shape == (700, 3)
    off = [
        np.square(restored(kept)["large"] - weights["large"]).mean() for kept in (whole, grouped)
    ]
    assert off[1] < 0.9 * off[0]
    steps = np.abs(weights["large"]).reshape(700, 3, 64).max(2) / 127
    found = np.abs(restored(grouped)["large"] - weights["large"]).reshape(700, 3, 64)
    assert (found <= 0.502 * steps[..., None]).all()


def test_rounding_again_changes_nothing(weights):
    once = rounded(weights)
    again = rounded(restored(once))
    assert all(np.array_equal(once[n], again[n]) for n in once if once[n].dtype == np.int8)
    assert np.allclose(once["large" + SCALE], again["large" + SCALE], rtol=1e-6)


def test_a_missing_scale_is_an_error(weights):
    kept = rounded(weights)
    del kept["large" + SCALE]
    with pytest.raises(ArtifactError, match="have no scale"):
        restored(kept)


def test_planes_are_the_same_to_the_bit(weights):
    kept = {**rounded(weights), "bytes": np.arange(7, dtype=np.uint8)}
    planes = in_planes(kept)
    assert not any(values.dtype == np.float16 for values in planes.values())
    assert sum(values.nbytes for values in planes.values()) == sum(v.nbytes for v in kept.values())
    found = from_planes(planes)
    assert found.keys() == kept.keys()
    for name, values in kept.items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape
        assert found[name].tobytes() == values.tobytes()


@pytest.mark.slow
def test_what_ships_fits_in_a_wheel_of_80_megabytes():
    package = Path(visita.__file__).parent
    files = (path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc")
    assert sum(len(zlib.compress(path.read_bytes())) for path in files) < 80e6
