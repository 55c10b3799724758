"""Networks from elsewhere: any layer is a level, pooled by its shape; facts are kept on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from visita.encoders.engine import Graph
from visita.encoders.export import TorchRunner, export
from visita.encoders.library.layers import (
    LayerNetwork,
    Normalise,
    Tokens,
    check_preparation,
    level_shapes,
    pooled,
    poolings,
)
from visita.encoders.library.networks import Library, LibraryEncoder, Preparation
from visita.errors import ConfigError, MissingExtraError, UnknownNameError
from visita.testing import check_encoder

pytestmark = pytest.mark.slow

PLAIN = Preparation(24, 24, True, "BICUBIC", (0.4, 0.5, 0.6), (0.2, 0.3, 0.4), rounds_crop=True)
WAYS = ("avg", "max", "gem", "grid", "5x5")


class Small(nn.Module):
    """A network with what makes reading layers hard."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.twice = nn.Conv2d(6, 6, 1)
        self.broken = nn.Linear(6, 2)
        self.constant = nn.Linear(1, 4)
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(6, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.stem(x))
        x = self.twice(self.twice(x))
        self.constant(torch.ones(len(x), 1))
        self.broken(x.mean((2, 3)))
        return self.head(x.mean((2, 3)))


def small() -> Small:
    torch.manual_seed(0)
    network = Small().eval()
    nn.init.constant_(network.broken.weight, math.nan)
    return network


def pixels(count: int, side: int = 24) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def values(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


class WithTokens(nn.Module):
    """The parameters by which a network with a class token and four registers is known."""

    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 3))
        self.register_tokens = nn.Parameter(torch.zeros(1, 4, 3))


def naive(cells: np.ndarray, pooling: str) -> np.ndarray:
    """Pool float (b, cells, d) one number at a time."""
    out = np.zeros((cells.shape[0], cells.shape[2]))
    for b in range(cells.shape[0]):
        for d in range(cells.shape[2]):
            column = [float(cells[b, c, d]) for c in range(cells.shape[1])]
            if pooling == "avg":
                out[b, d] = sum(column) / len(column)
            elif pooling == "max":
                out[b, d] = max(column)
            else:
                out[b, d] = (sum(max(x, 1e-6) ** 3 for x in column) / len(column)) ** (1 / 3)
    return out


@pytest.mark.parametrize(
    ("shape", "network", "cells"),
    [
        ((2, 5, 4, 4), nn.Module(), lambda x: x.reshape(2, 5, 16).transpose(0, 2, 1)),
        ((2, 4, 4, 5), nn.Module(), lambda x: x.reshape(2, 16, 5)),
        ((2, 7, 1, 1), nn.Module(), lambda x: x.reshape(2, 1, 7)),
        ((2, 3, 3, 3), nn.Module(), lambda x: x.reshape(2, 3, 9).transpose(0, 2, 1)),
        ((2, 21, 3), WithTokens(), lambda x: x[:, 5:]),
        ((2, 16, 3), WithTokens(), lambda x: x),
        ((2, 17, 3), nn.Module(), lambda x: x),
        ((2, 6, 1), nn.Module(), lambda x: x.transpose(0, 2, 1)),
    ],
    ids=["map", "channels-last", "one cell", "cube", "tokens", "no class", "no square", "pool"],
)
def test_layers_are_pooled_by_their_shape(shape, network, cells):
    output, tokens = values(*shape), Tokens(network)
    expected = cells(output.numpy())
    assert poolings(output, tokens)[:4] == ("avg", "max", "gem", "grid")
    for pooling in ("avg", "max", "gem"):
        found = pooled(output, pooling, tokens).numpy()
        assert np.allclose(found, naive(expected, pooling), atol=1e-5)
    assert np.array_equal(pooled(output, "grid", tokens).numpy(), expected)


@pytest.mark.parametrize(
    ("shape", "network"),
    [((2, 6, 7, 7), nn.Module()), ((2, 11, 11, 3), nn.Module()), ((2, 21, 3), WithTokens())],
    ids=["map", "channels-last", "fewer cells than 25, behind tokens"],
)
def test_a_square_of_cells_is_averaged_to_five_by_five(shape, network):
    output, tokens = values(*shape), Tokens(network)
    assert "5x5" in poolings(output, tokens)
    cells = pooled(output, "grid", tokens).numpy()
    side = math.isqrt(cells.shape[1])
    square = cells.reshape(2, side, side, -1)
    found = pooled(output, "5x5", tokens).numpy()
    assert found.shape == (2, 25, cells.shape[2])
    for row, column in product(range(5), repeat=2):
        rows, columns = (slice(n * side // 5, -(-(n + 1) * side // 5)) for n in (row, column))
        mean = square[:, rows, columns].mean((1, 2))
        assert np.allclose(found[:, 5 * row + column], mean, atol=1e-6)


@pytest.mark.parametrize("shape", [(2, 17, 3), (2, 6, 1), (2, 7, 1, 1)])
def test_cells_that_are_no_square_or_only_one_are_not(shape):
    assert "5x5" not in poolings(values(*shape), Tokens(nn.Module()))


def test_the_class_token_is_a_level_where_there_is_one():
    tokens = Tokens(WithTokens())
    assert (tokens.has_class, tokens.count) == (True, 5)
    output = values(2, 21, 3)
    assert "cls" in poolings(output, tokens) and "cls" not in poolings(values(2, 16, 3), tokens)
    assert torch.equal(pooled(output, "cls", tokens), output[:, 0])
    assert "cls" not in poolings(output, Tokens(nn.Module()))


def test_vectors_are_levels_as_they_are_and_other_shapes_are_none():
    none = Tokens(nn.Module())
    assert poolings(values(2, 9), none) == ("",)
    assert torch.equal(pooled(values(2, 9), "", none), values(2, 9))
    assert poolings(values(2, 3, 4, 5), none) == poolings(values(2, 1, 2, 3, 4), none) == ()


def test_every_layer_that_tells_pictures_apart_is_a_level():
    shapes = level_shapes(small(), PLAIN)
    assert list(shapes) == [
        *(f"{layer}:{how}" for layer in ("stem", "relu") for how in WAYS),
        *(f"twice:{how}" for how in WAYS),
        "head",
    ]
    assert shapes["stem:avg"] == (6,) and shapes["stem:grid"] == (121, 6) and shapes["head"] == (5,)


def test_a_level_is_what_the_layer_gave_before_others_wrote_over_it():
    some = torch.from_numpy(pixels(3))
    with torch.inference_mode():
        stem, relu, twice, head = LayerNetwork(
            small(), PLAIN, ["stem:grid", "relu:grid", "twice:grid", "head"]
        )(some)
        network = small()
        expected = network.stem(Normalise(PLAIN)(some))
    as_cells = expected.flatten(2).transpose(1, 2)
    assert torch.equal(stem, as_cells) and stem.min() < 0
    assert torch.equal(relu, as_cells.clamp(min=0))
    with torch.inference_mode():
        last = network.twice(network.twice(expected.clamp(min=0)))  # of two runs, the last
        assert torch.allclose(twice, last.flatten(2).transpose(1, 2), atol=1e-6)
        assert torch.allclose(head, network.head(last.mean((2, 3))), atol=1e-6)


def test_the_exported_graph_gives_the_same(tmp_path):
    levels = list(level_shapes(small(), PLAIN))
    network = LayerNetwork(small(), PLAIN, levels)
    export(network, [pixels(4)], [(-1, 24, 24, 3)], tmp_path / "graph.xml")
    some = pixels(3)
    graph = Graph(tmp_path / "graph.xml")(some)
    for one, other in zip(graph, TorchRunner(network)(some), strict=True):
        assert np.allclose(one, other, atol=1e-5)


def test_several_threads_may_run_one_network():
    network = LayerNetwork(small(), PLAIN, ["stem:avg", "head"])
    runner = TorchRunner(network)
    batches = [pixels(n) for n in range(1, 25)]
    alone = [runner(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(runner, batches))
    for one, other in zip(alone, together, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("size", [(24, 24), (31, 90), (90, 31), (1, 1), (25, 26), (640, 480)])
@pytest.mark.parametrize("rounds", [True, False])
def test_the_shorter_edge_is_resized_and_the_centre_cropped(size, rounds):
    preparation = Preparation(24, 29, False, "BILINEAR", PLAIN.mean, PLAIN.std, rounds_crop=rounds)
    noise = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    picture = Image.fromarray(noise)
    width, height = size
    longer = int(29 * max(size) / min(size))
    whole = picture.resize((29, longer) if width < height else (longer, 29), 2)
    margins = [(edge - 24) / 2 for edge in whole.size]
    left, top = (round(m) if rounds else math.floor(m) for m in margins)
    expected = np.asarray(whole)[top : top + 24, left : left + 24]
    assert np.array_equal(preparation(picture), expected)


def test_of_a_very_long_picture_the_middle_is_kept_and_memory_stays_small():
    preparation = Preparation(24, 256, False, "BILINEAR", PLAIN.mean, PLAIN.std, rounds_crop=True)
    stripes = np.zeros((1, 200_001, 3), np.uint8)
    stripes[:, 100_000] = 255
    for picture in (stripes, stripes.transpose(1, 0, 2)):
        prepared = preparation(Image.fromarray(picture))  # 256 x 51,200,256 without a limit
        assert prepared.shape == (24, 24, 3) and prepared.min() > 150


def test_a_preparation_that_differs_from_the_librarys_is_refused():
    def library(picture: Image.Image) -> np.ndarray:
        return Normalise(PLAIN)(torch.from_numpy(PLAIN(picture).copy())[None])[0].numpy()

    check_preparation("small", PLAIN, library)
    with pytest.raises(ConfigError, match="small wants its pictures prepared in a way"):
        check_preparation("small", PLAIN, lambda picture: library(picture)[::-1])


def saved(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(small().state_dict(), folder / "model.safetensors")
    return folder


def library_of(built: list[str], name: str = "torch", preparation: Preparation = PLAIN) -> Library:
    def fetch(model: str) -> Sequence[Path]:
        return [Path(model, "model.safetensors")]

    def build(model: str, files: Sequence[Path]) -> tuple[nn.Module, Preparation]:
        built.append(model)
        network = Small().eval()
        network.load_state_dict(load_file(files[0]))
        return network, preparation

    return Library(name, fetch, build)


def test_the_encoders_contract(tmp_path):
    encoder = LibraryEncoder(library_of([]), str(saved(tmp_path)))
    assert encoder.name == f"torch:{tmp_path}" and encoder.side == 24
    check_encoder(encoder)


def test_what_is_known_of_a_model_is_worked_out_once(tmp_path):
    built: list[str] = []
    folder = str(saved(tmp_path))
    first = LibraryEncoder(library_of(built), folder)
    facts = first.fingerprint(), first.level_shapes(), first.side
    again = LibraryEncoder(library_of(built), folder)
    assert (again.fingerprint(), again.level_shapes(), again.side) == facts
    assert np.array_equal(again.prepare(Image.new("RGB", (3, 3))), np.zeros((24, 24, 3)))
    assert built == [folder]


def test_other_weights_or_another_preparation_are_another_fingerprint(tmp_path):
    built: list[str] = []
    one, copy, other = (saved(tmp_path / name) for name in ("one", "copy", "other"))
    fingerprint = LibraryEncoder(library_of(built), str(one)).fingerprint()
    assert LibraryEncoder(library_of(built), str(copy)).fingerprint() == fingerprint
    weights = small().state_dict()
    weights["head.bias"] += 1
    save_file(weights, copy / "model.safetensors")
    assert LibraryEncoder(library_of(built), str(copy)).fingerprint() != fingerprint
    cropped = library_of(built, preparation=replace(PLAIN, squash=False))
    assert LibraryEncoder(cropped, str(other)).fingerprint() != fingerprint
    assert built == [str(one), str(copy), str(copy), str(other)]


def test_a_folder_of_the_same_relative_name_is_another_model(tmp_path, monkeypatch):
    built: list[str] = []
    for place in ("here", "there"):
        saved(tmp_path / place / "mine")
    changed = small().state_dict()
    changed["stem.bias"] += 1
    save_file(changed, tmp_path / "there" / "mine" / "model.safetensors")
    found = []
    for place in ("here", "there"):
        monkeypatch.chdir(tmp_path / place)
        found.append(LibraryEncoder(library_of(built), "mine").fingerprint())
    assert found[0] != found[1] and built == ["mine", "mine"]


def test_an_unknown_level_is_refused_with_the_nearest_alone(tmp_path):
    encoder = LibraryEncoder(library_of([]), str(saved(tmp_path)))
    with pytest.raises(UnknownNameError) as caught:
        encoder.network(["stem:average"])
    assert str(caught.value).endswith("has no level 'stem:average'. Did you mean 'stem:avg'?")


def test_a_library_that_is_not_there_is_named_with_the_line_that_installs_it(tmp_path):
    encoder = LibraryEncoder(library_of([], "no-such-library"), str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"pip install 'visita\[no-such-library\]'"):
        encoder.fingerprint()


def test_what_the_library_cannot_load_is_an_error_that_names_it(tmp_path):
    (saved(tmp_path) / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(ConfigError, match=f"torch cannot load {tmp_path}"):
        LibraryEncoder(library_of([]), str(tmp_path)).level_shapes()
