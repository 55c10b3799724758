"""Linear layers in int8: near to float32 where they can be, and float32 again where they cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_pretrained as tiny
import torch
from library_vectors import CASES, pictures
from torch import nn

import visita
from visita.data import photographs
from visita.encoders.engine import Graph
from visita.encoders.export import CachedNetwork
from visita.encoders.minilm import MiniLM
from visita.encoders.openvino import ov, trace
from visita.encoders.post_training import MIN_COSINE, Quantized, nearness, outputs
from visita.encoders.post_training import quantized as quantized_by
from visita.encoders.precision import has_bfloat16
from visita.encoders.pretrained import sentences
from visita.encoders.quantizable import layers_of
from visita.encoders.table import TEXT_ENCODERS
from visita.errors import ConfigError
from visita.store.extract import text_features
from visita.store.pictures import RecipeEncoder
from visita.types import Recipe

pytestmark = pytest.mark.slow
WIDTH = 64


class Layers(nn.Module):
    """Linear layers with ReLUs between."""

    def __init__(self, count: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(count))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers[:-1]:
            x = layer(x).relu()
        return self.layers[-1](x)


def batches(seed: int, scale: np.ndarray | float = 1.0) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal((8, WIDTH), dtype=np.float32) * scale] for _ in range(4)]


def graph_of(module: nn.Module) -> ov.Model:
    model = trace(module, batches(0)[0])
    model.reshape({0: ov.PartialShape([-1, WIDTH])})
    return model


def quantized(model: ov.Model, measured: list, held_out: list) -> Quantized:
    return quantized_by(model, measured, held_out, outputs(Graph(model), held_out))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def matrices(model: ov.Model) -> list[np.ndarray]:
    """Return what is kept of the weights of each linear layer."""
    constants = [node for node in model.get_ordered_ops() if node.get_type_name() == "Constant"]
    shaped = [node for node in constants if list(node.get_output_shape(0)) == [WIDTH, WIDTH]]
    return [node.get_data() for node in shaped]


def test_weights_are_bytes_and_what_is_said_of_nearness_is_true():
    model = graph_of(Layers())
    found = quantized(model, batches(0), batches(1))
    assert found.is_near and (found.layers, found.back) == (3, 0)
    assert [weights.dtype for weights in matrices(found.model)] == [np.int8] * 3
    assert [weights.dtype for weights in matrices(model)] == [np.float32] * 3
    rows = np.concatenate([rows for [rows] in batches(1)])
    nearness = cosines(Graph(model)(rows)[0], Graph(found.model)(rows)[0])
    assert found.cosine == pytest.approx(nearness.mean(), abs=1e-5) and found.recall == 1


def test_a_channel_of_a_hundred_times_the_size_is_shared_out(monkeypatch):
    scale = np.where(np.arange(WIDTH) == 7, 100, 1).astype(np.float32)
    module = Layers(1)
    with torch.no_grad():
        module.layers[0].weight[:, 7] /= 100
    model = graph_of(module)
    smooth = quantized(model, batches(0, scale), batches(1, scale))
    monkeypatch.setattr("visita.encoders.quantizable.Linear.strengths", (0.0,))
    rough = quantized(model, batches(0, scale), batches(1, scale))
    assert 1 - smooth.cosine < (1 - rough.cosine) / 4


class WithTail(nn.Module):
    """Eight layers; of what goes into the fourth, one row in ten has a value of a thousand."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers(8).layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        large = 1e3 * (x[:, :1] > 1.3) * (x == x.amax(1, keepdim=True))
        for number, layer in enumerate(self.layers):
            x = layer(x + large if number == 3 else x)
            x = 8 * nn.functional.normalize(x)
        return x


def test_layers_that_256_steps_cannot_hold_go_back_to_float32():
    model = graph_of(WithTail())
    found = quantized(model, batches(0), batches(1))
    assert found.is_near and 0 < found.back < found.layers
    kinds = [weights.dtype for weights in matrices(found.model)]
    assert kinds.count(np.dtype(np.float32)) == found.back


class Chaotic(nn.Module):
    """A small change of its input is a large one of what it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = Layers(3).layers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = torch.sin(12 * layer(x))
        return x


class Maps(nn.Module):
    """Convolutions of every kind: of pixels, in groups, depthwise, dilated, of one cell."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(16, 24, 3, padding=1, groups=2),
            nn.Hardswish(),
            nn.Conv2d(24, 24, 3, padding=(2, 1), stride=(1, 2), groups=24),
            nn.Conv2d(24, 40, 3, dilation=2, padding=1),
            nn.Hardswish(),
        )
        self.gate = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(40, 40, 1), nn.Sigmoid())
        self.head = nn.Linear(40, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.body(x)
        return self.head((x * self.gate(x)).mean((2, 3)))


def maps(seed: int) -> list[list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [[rng.standard_normal((4, 3, 33, 41), dtype=np.float32)] for _ in range(4)]


def graph_of_maps() -> ov.Model:
    model = trace(Maps(), maps(0)[0])
    model.reshape({0: ov.PartialShape([-1, 3, 33, 41])})
    return model


def test_convolutions_but_those_of_pixels_and_of_one_cell_are_in_bytes():
    found = quantized(graph_of_maps(), maps(0), maps(1))
    assert found.is_near and (found.layers, found.back) == (4, 0)
    nodes = [node for node in found.model.get_ordered_ops() if node.get_type_name() == "Constant"]
    shapes = [list(n.get_output_shape(0)) for n in nodes if n.get_data().dtype == np.int8]
    assert sorted(shapes) == [[2, 12, 8, 3, 3], [24, 1, 1, 3, 3], [32, 40], [40, 24, 3, 3]]


def test_rows_times_weights_are_what_a_convolution_returns():
    model = graph_of_maps()
    [pixels] = maps(0)[0]
    rng = np.random.default_rng(0)
    for layer in layers_of(model)[:3]:
        ports = [layer.node.input_value(0), layer.node.output(0)]
        values, result = Graph(ov.Model(ports, model.get_parameters(), "probe"))(pixels)
        rows, weights = layer.rows(values, rng), layer.weights
        found = np.concatenate(rows @ weights.swapaxes(1, 2), axis=1)
        places = np.moveaxis(result, 1, 3).reshape(-1, result.shape[1])
        nearest = np.abs(found[:, None] - places[None]).max(2).min(1)
        assert len(found) > 20 and nearest.max() < 1e-4
        assert layer.extremes(values).ravel().tolist() == [values.min(), values.max()]


def test_ranges_are_the_same_however_much_is_held_at_once(monkeypatch):
    monkeypatch.setattr("visita.encoders.post_training.KEPT", (1.0,))
    whole = ranges(quantized(graph_of_maps(), maps(0), maps(1)).model)
    monkeypatch.setattr("visita.encoders.post_training._ROOM", 1)
    assert np.array_equal(ranges(quantized(graph_of_maps(), maps(0), maps(1)).model), whole)


def ranges(model: ov.Model) -> np.ndarray:
    """Return both ends of what each layer reads."""
    nodes = [node for node in model.get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
    return np.array(
        [[node.input_value(port).get_node().get_data() for port in (1, 2)] for node in nodes]
    )


def network(module: type[nn.Module], name: str) -> CachedNetwork:
    return CachedNetwork(
        name,
        {},
        lambda: module().eval(),
        lambda: batches(0)[0],
        [(-1, WIDTH)],
        samples=lambda: (batches(0), batches(1)),
    )


@pytest.fixture
def own_home(tmp_path, monkeypatch) -> Path:
    """Give a test a cache of its own."""
    monkeypatch.setenv("VISITA_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("own_home")
def test_what_is_too_coarse_is_refused_if_asked_for_and_else_in_float32(monkeypatch):
    monkeypatch.setenv("VISITA_PRECISION", "int8")
    with pytest.raises(
        ConfigError, match=r"chaotic is too coarse in int8: .*Unset VISITA_PRECISION"
    ):
        network(Chaotic, "chaotic").runner()
    monkeypatch.delenv("VISITA_PRECISION")
    assert network(Chaotic, "chaotic").precision() == "float32"


def test_one_graph_is_kept_and_stays_until_another_is_asked_for(own_home, monkeypatch, capfd):
    monkeypatch.setenv("VISITA_PRECISION", "int8")
    assert network(Layers, "layers").precision().startswith("int8 2-")
    assert "layers runs in int8 here: mean cosine" in capfd.readouterr().err
    monkeypatch.delenv("VISITA_PRECISION")
    assert network(Layers, "layers").precision().startswith("int8 2-")
    [rows] = batches(1)[0]
    int8 = network(Layers, "layers").runner()(rows)[0]
    assert not capfd.readouterr().err, "nothing is made again"
    monkeypatch.setenv("VISITA_PRECISION", "float32")
    assert network(Layers, "layers").precision() == "float32"
    float32 = network(Layers, "layers").runner()(rows)[0]
    assert "damaged" not in capfd.readouterr().err
    assert not np.array_equal(int8, float32) and cosines(int8, float32).mean() >= MIN_COSINE
    assert len(list((own_home / "cache" / "graphs").glob("*/graph.bin"))) == 1
    monkeypatch.delenv("VISITA_PRECISION")
    assert network(Layers, "layers").precision() == "float32"


def test_what_has_no_linear_layers_runs_in_float32_whatever_is_asked_for(
    own_home, monkeypatch, capfd
):
    monkeypatch.setenv("VISITA_PRECISION", "int8")
    assert network(nn.Softplus, "curve").precision() == "float32"
    assert "preparing curve" in capfd.readouterr().err
    [rows] = batches(1)[0]
    (found,) = network(nn.Softplus, "curve").runner()(rows)
    assert np.allclose(found, np.log1p(np.exp(rows)), atol=1e-5)
    assert not capfd.readouterr().err, "it is made once"
    assert len(list((own_home / "cache" / "graphs").glob("*/graph.bin"))) == 1


def test_another_precision_is_no_precision(monkeypatch):
    monkeypatch.setenv("VISITA_PRECISION", "int4")
    with pytest.raises(ConfigError, match="'int4': set it to float32, bfloat16 or int8"):
        visita.Finder().pictures.facts()
    monkeypatch.setenv("VISITA_PRECISION", "float32")
    assert set(visita.Finder("visita-small").pictures.facts()["precision"].values()) == {"float32"}


@pytest.mark.usefixtures("own_home")
def test_left_alone_a_small_network_stays_in_float32():
    assert network(Layers, "layers").precision() == "float32"


@pytest.mark.usefixtures("own_home")
def test_what_gains_too_little_stays_in_float32(monkeypatch, capfd):
    monkeypatch.setattr("visita.encoders.quickest.MIN_WEIGHTS", 1)
    monkeypatch.setattr("visita.encoders.quickest.MIN_GAIN", 1e6)
    assert network(Layers, "layers").precision() == "float32"
    assert "layers runs in float32: int8 is only" in capfd.readouterr().err
    monkeypatch.setattr("visita.encoders.quickest.MIN_GAIN", 1e-6)
    assert network(Layers, "others").precision().startswith("int8")


def test_bfloat16_is_asked_for_by_name_where_the_processor_has_it(own_home, monkeypatch, capfd):
    monkeypatch.setenv("VISITA_PRECISION", "bfloat16")
    monkeypatch.setattr("visita.encoders.precision.has_bfloat16", lambda: False)
    with pytest.raises(ConfigError, match="This processor has no bfloat16: unset VISITA_PRECISION"):
        network(Layers, "layers").runner()
    monkeypatch.undo()
    if not has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    monkeypatch.setenv("VISITA_HOME", str(own_home))
    monkeypatch.setenv("VISITA_PRECISION", "bfloat16")
    assert network(Layers, "layers").precision() == "bfloat16"
    assert "layers runs in bfloat16 here: mean cosine" in capfd.readouterr().err
    [rows] = batches(1)[0]
    (found,) = network(Layers, "layers").runner()(rows)
    with torch.inference_mode():
        exact = Layers()(torch.from_numpy(rows)).numpy()
    assert np.abs(found - exact).max() > 1e-5, "it is not float32"
    assert cosines(found, exact).min() > 0.9999
    monkeypatch.setenv("VISITA_PRECISION", "float32")
    assert network(Layers, "layers").precision() == "float32"


@pytest.mark.usefixtures("own_home")
def test_what_int8_leaves_is_in_bfloat16_where_that_is_quicker(monkeypatch):
    if not has_bfloat16():
        pytest.skip("this processor has no bfloat16")
    monkeypatch.setattr("visita.encoders.quickest.MIN_WEIGHTS", 1)
    monkeypatch.setattr("visita.encoders.quickest.MIN_GAIN", 1e-6)
    found = network(Layers, "layers")
    assert found.precision().startswith("int8 2-") and found.precision().endswith(" bfloat16")
    [rows] = batches(1)[0]
    with torch.inference_mode():
        exact = Layers()(torch.from_numpy(rows)).numpy()
    assert cosines(found.runner()(rows)[0], exact).mean() >= MIN_COSINE


class Scores(Layers):
    """One score a row, like a re-ranking head's: all of them far from 0, and near to each other."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, :1] + 100


def test_scores_are_judged_by_their_order_and_not_by_what_they_share():
    [rows] = batches(1)[0]
    model = graph_of(Scores())
    exact = outputs(Graph(model), [[rows]])
    assert exact[0].shape == (1, len(rows)) and abs(exact[0].mean()) < 1e-4
    flat = nearness(exact, lambda x: (np.full((len(x), 1), 100, np.float32),), [[rows]])
    turned = nearness(exact, lambda x: (200 - Graph(model)(x)[0],), [[rows]])
    assert not flat.is_near and turned.cosine < -0.99


def test_a_head_that_re_ranks_is_judged_on_photographs_with_sentences(own_home, monkeypatch, capfd):
    pytest.importorskip("skimage")
    monkeypatch.setattr("visita.encoders.quickest.MIN_WEIGHTS", 1)
    monkeypatch.setattr("visita.encoders.quickest.MIN_GAIN", 1e-6)
    name = f"blip:{tiny.blip(own_home / 'blip')}"
    pictures = photographs.crops(photographs.SEEN)
    found = {}
    for wanted in ("", "float32"):
        monkeypatch.setenv("VISITA_PRECISION", wanted)
        monkeypatch.setenv("VISITA_HOME", str(own_home / f"home-{wanted}"))
        head = visita.load(name).reranker
        columns = RecipeEncoder(head.recipe).encode_pictures(pictures)
        [text] = head.pack_texts(["a red circle on the star"])
        found[wanted] = head.scores(head.pack_images(columns), text)
    assert f"{name}-pairs runs in " in capfd.readouterr().err, "it was judged"
    assert not np.array_equal(*found.values())
    assert np.corrcoef(*found.values())[0, 1] > MIN_COSINE


def halved(module: type[nn.Module], name: str) -> CachedNetwork:
    return replace(network(module, name), samples=None, halved=True)


def test_weights_are_kept_in_16_bits_unless_all_is_to_be_exact(own_home, monkeypatch):
    monkeypatch.setattr("visita.encoders.quickest.MIN_WEIGHTS", 1)
    [rows] = batches(1)[0]
    sizes, outputs = [], []
    for wanted in ("", "float32"):
        monkeypatch.setenv("VISITA_PRECISION", wanted)
        assert halved(Layers, "layers").precision() == (wanted or "float16")
        outputs.append(halved(Layers, "layers").runner()(rows)[0])
        [kept] = (own_home / "cache" / "graphs").glob("*/graph.bin")
        sizes.append(kept.stat().st_size)
    assert sizes[0] < 0.6 * sizes[1]
    assert np.abs(outputs[0] - outputs[1]).max() > 0 and cosines(*outputs).min() > 0.999999
    with torch.inference_mode():
        exact = Layers()(torch.from_numpy(rows)).numpy()
    assert np.allclose(outputs[1], exact, atol=1e-5)


class Huge(Layers):
    """Weights that 16 bits do not hold."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = torch.ones(WIDTH)
        scale[::4], scale[1::4] = 1e9, 1e5
        return super().forward(x * 1e-9) * scale


@pytest.mark.usefixtures("own_home")
def test_what_16_bits_change_is_kept_in_32(monkeypatch):
    monkeypatch.setattr("visita.encoders.quickest.MIN_WEIGHTS", 1)
    assert halved(Huge, "huge").precision() == "float32"


def test_a_trained_transformer_stays_near_to_itself():
    """Its outliers are real: a few channels and tokens of far larger values than the others."""
    encoder = MiniLM(("layer6",))
    words = ("dog", "boat", "child in a red coat", "street at night", "horse", "old man", "snow")
    texts = [f"{a} and a {b}{end}" for a in words for b in words for end in (".", " on a beach")]
    ids = encoder.token_ids(texts)
    batches = [list(encoder.padded(ids[at : at + 7])) for at in range(0, 98, 7)]
    found = quantized(trace(encoder.network(), batches[0]), batches[::2], batches[1::2])
    assert found.cosine > 0.995 and found.recall == 1


@pytest.mark.parametrize("name", ["clip", "naflex"])
def test_a_gallery_in_int8_has_vectors_near_to_the_librarys(name, tmp_path, own_home, monkeypatch):
    # Of random weights, these keep all their order in int8, on processors of every kind.
    drawn = {"seed": 4} if name == "clip" else {}
    folder = CASES[name].write(tmp_path / "tiny", **drawn)
    encoder = f"{CASES[name].family}:{folder}"
    float32 = vectors(encoder)
    (tmp_path / "seen").mkdir()
    for number, picture in enumerate(pictures()):
        picture.save(tmp_path / "seen" / f"{number}.png")
    gallery = visita.Gallery.open(tmp_path / "seen", matcher=encoder)
    gallery.sync()
    exact = gallery.snapshot.vectors
    monkeypatch.setenv("VISITA_PRECISION", "int8")
    assert cosines(vectors(encoder), float32).mean() >= MIN_COSINE
    gallery = visita.Gallery.open(tmp_path / "seen", matcher=encoder)
    gallery.sync()
    rounded = gallery.snapshot.vectors
    assert not np.array_equal(rounded, exact) and cosines(rounded, exact).mean() > 0.99
    assert len(list((own_home / "cache" / "graphs").glob("*/graph.bin"))) == 1


def vectors(encoder: str) -> np.ndarray:
    pixels = photographs.crops(photographs.HELD_OUT[:2])
    return RecipeEncoder(Recipe({encoder: ("vector",)})).encode_pictures(pixels)[
        f"{encoder}/vector"
    ]


@pytest.mark.usefixtures("own_home")
def test_texts_in_int8_are_near_and_kept_apart(tmp_path, monkeypatch):
    folder = CASES["clip"].write(tmp_path / "tiny")
    texts = ["two dogs", "a red boat on a lake", "snow"]
    found = []
    for wanted in ("float32", "int8"):
        monkeypatch.setenv("VISITA_PRECISION", wanted)
        encoder = TEXT_ENCODERS.load(f"clip:{folder}")()
        assert encoder.precision().partition(" ")[0] == wanted
        found.append(text_features(texts, encoder).vectors)
    assert not np.array_equal(*found) and cosines(*found).mean() >= MIN_COSINE


def test_sentences_to_measure_and_to_judge_differ():
    assert not set(sentences.SEEN) & set(sentences.HELD_OUT)
    assert len(sentences.SEEN) == len(sentences.HELD_OUT) == 24
