"""The inference engine: graphs that agree with torch, made once, and never silently wrong."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from visita.encoders import operations
from visita.encoders.efficientnet import lite0
from visita.encoders.engine import BuiltNetwork, Graph, Int8
from visita.encoders.export import TorchRunner, cached_runner, export
from visita.encoders.minilm import MiniLM
from visita.encoders.openvino import ov
from visita.errors import ArtifactError, MismatchError
from visita.store.pictures import RecipeEncoder
from visita.types import Recipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def two_cores() -> Iterator[None]:
    """Compute on two cores, also where the other workers have the rest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VISITA_CORES", "2")
        yield


class Small(nn.Module):
    """Two outputs of different widths, with known weights."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(5, 7)
        self.second = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.tanh(self.first(x))
        return hidden, self.second(hidden)


class Eigenvalues(nn.Module):
    """Something that OpenVINO has no operation for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvalsh(x.unsqueeze(2) * x.unsqueeze(1))


def rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 5), dtype=np.float32)


def small_graph(path: Path) -> Graph:
    export(Small().eval(), [rows(2)], [(-1, 5)], path)
    return Graph(path)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    a, b = (x.reshape(len(x), -1).astype(np.float64) for x in (one, other))
    return np.array([u @ v / np.sqrt((u @ u) * (v @ v)) for u, v in zip(a, b, strict=True)])


@pytest.fixture
def own_home(tmp_path, monkeypatch) -> Path:
    """Give a test a cache of its own."""
    monkeypatch.setenv("VISITA_HOME", str(tmp_path))
    return tmp_path


def test_a_graph_agrees_with_torch_for_any_number_of_rows(tmp_path):
    graph = small_graph(tmp_path / "graph.xml")
    for count in (0, 1, 2, 33):
        with torch.inference_mode():
            expected = Small()(torch.from_numpy(rows(count)))
        found = graph(rows(count))
        assert len(found) == 2
        for one, other in zip(expected, found, strict=True):
            assert other.dtype == np.float32 and other.shape == one.shape
            assert np.allclose(one.numpy(), other, atol=1e-6)


def test_rows_do_not_depend_on_the_rows_beside_them(tmp_path):
    graph = small_graph(tmp_path / "graph.xml")
    whole = graph(rows(20))[1]
    alone = np.concatenate([graph(rows(20)[i : i + 1])[1] for i in range(20)])
    assert np.allclose(whole, alone, atol=1e-6)


def test_inputs_stay_as_they_were_and_outputs_too(tmp_path):
    graph = small_graph(tmp_path / "graph.xml")
    inputs = rows(4)
    inputs.setflags(write=False)
    first = graph(inputs)
    kept = [output.copy() for output in first]
    graph(rows(4, seed=1))
    assert np.array_equal(inputs, rows(4))
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))
    strided = np.repeat(inputs, 2, axis=0)[::2][::-1]
    assert np.array_equal(graph(strided)[1], graph(strided.copy())[1])


def test_many_threads_get_the_same_as_one(tmp_path):
    graph = small_graph(tmp_path / "graph.xml")
    expected = [graph(rows(3, seed))[1] for seed in range(40)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda seed: graph(rows(3, seed))[1], range(40)))
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_float32_graph_of_efficientnet_agrees_with_torch(tmp_path, photographs):
    encoder = lite0()
    levels = ("stem:max", "block4:avg", "block5:grid")
    pixels = np.stack([encoder.prepare(Image.open(path)) for path in photographs])
    network = encoder.network(levels)
    shape = (-1, encoder.side, encoder.side, 3)
    export(network, [pixels[:1]], [shape], tmp_path / "graph.xml")
    found = Graph(tmp_path / "graph.xml")(pixels)
    for one, other in zip(TorchRunner(network)(pixels), found, strict=True):
        assert one.shape == other.shape
        assert cosines(one, other).min() >= 0.9999


def test_an_int8_graph_stays_near_torch_on_photographs(recipe, photographs):
    encoder, levels = lite0(), recipe.levels["efficientnet-lite0"]
    opened = [Image.open(path).convert("RGB") for path in photographs]
    runner = RecipeEncoder(recipe)
    if runner.facts()["precision"]["efficientnet-lite0"] == "float32":
        pytest.skip("this processor computes int8 too coarsely")
    columns = runner.encode_pictures(opened)
    pixels = np.stack([encoder.prepare(picture) for picture in opened])
    for level, expected in zip(levels, TorchRunner(encoder.network(levels))(pixels), strict=True):
        found = columns[f"efficientnet-lite0/{level}"]
        assert cosines(expected, found).min() >= (0.95 if level == "classes" else 0.99)
        assert not np.array_equal(expected, found)


@pytest.mark.parametrize("passages", [[[]], [[2023], [2003, 1037, 3899] * 80, [], [7592] * 30]])
def test_the_graph_of_minilm_agrees_with_torch(sentences, passages):
    ids, mask = sentences.padded(passages)
    found = sentences.runner(ids, mask)
    assert isinstance(sentences.runner, Graph)
    for one, other in zip(TorchRunner(sentences.network())(ids, mask), found, strict=True):
        assert cosines(one, other).min() >= 0.9999


class Fickle(nn.Module):
    """Gives its input the first time, and ever after something else."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = 1.0, factor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, self.factor = self.factor[0], self.factor[1:] * 2
        return x * first


@pytest.mark.parametrize("value", [0.0, np.nan, -1.0])
def test_a_graph_that_differs_from_torch_is_refused(tmp_path, value):
    with pytest.raises(ArtifactError, match="differs from torch"):
        export(Fickle(value), [rows(2)], [(-1, 5)], tmp_path / "graph.xml")


def test_outputs_that_are_zero_in_both_agree(tmp_path):
    silent = Small().eval()
    nn.init.zeros_(silent.second.weight)
    nn.init.zeros_(silent.second.bias)
    export(silent, [rows(2)], [(-1, 5)], tmp_path / "graph.xml")
    assert not Graph(tmp_path / "graph.xml")(rows(2))[1].any()


def runner_of(module: type[nn.Module], name: str = "small", **facts: object):
    return cached_runner(name, facts, lambda: module().eval(), lambda: [rows(2)], [(-1, 5)])


@pytest.mark.usefixtures("own_home")
def test_a_graph_is_made_once(capfd):
    made = []

    def module() -> nn.Module:
        made.append(1)
        return Small().eval()

    def ask(_: int) -> object:
        return cached_runner("small", {}, module, lambda: [rows(2)], [(-1, 5)])

    with ThreadPoolExecutor(4) as pool:
        runners = list(pool.map(ask, range(4)))
    assert len(made) == 1
    assert all(isinstance(runner, Graph) for runner in runners)
    assert capfd.readouterr().err == "preparing small for this machine (once)\n"


def test_other_facts_make_another_graph(own_home):
    for facts in ({"weights": "a"}, {"weights": "b"}, {"weights": "a"}):
        runner_of(Small, **facts)
    graphs = list((own_home / "cache" / "graphs").glob("small-*/graph.json"))
    assert len(graphs) == 2
    assert {json.loads(path.read_text("utf-8"))["openvino"] for path in graphs} == {
        ov.get_version()
    }


def test_what_a_killed_export_left_is_replaced(own_home):
    runner_of(Small)
    (graph,) = (own_home / "cache" / "graphs").glob("small-*/graph.json")
    graph.unlink()
    (graph.parent / "graph.bin").write_bytes(b"half")
    assert np.allclose(runner_of(Small)(rows(3))[0], TorchRunner(Small())(rows(3))[0], atol=1e-6)


@pytest.mark.parametrize(
    "damage",
    ["cut bin", "cut xml", "cut json", "no bin", "no xml", "no json", "flip bin", "flip xml"],
)
def test_a_damaged_graph_is_made_again_with_one_line(own_home, capfd, damage):
    expected = runner_of(Small)(rows(3))[0]
    (folder,) = (p.parent for p in (own_home / "cache" / "graphs").glob("small-*/graph.json"))
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    how, _, suffix = damage.partition(" ")
    file = folder / f"graph.{suffix}"
    content = bytearray(file.read_bytes())
    if how == "cut":
        del content[len(content) // 2 :]
    elif how == "flip":
        content[len(content) // 2] ^= 1
    file.unlink() if how == "no" else file.write_bytes(content)
    capfd.readouterr()
    found = runner_of(Small)
    assert isinstance(found, Graph) and np.array_equal(found(rows(3))[0], expected)
    said = capfd.readouterr().err.splitlines()
    assert len(said) == 1 and "graph is damaged or of an older visita: preparing small" in said[0]
    assert whole["graph.bin"] == (folder / "graph.bin").read_bytes()
    assert runner_of(Small) and not capfd.readouterr().err


def test_a_graph_without_checksums_is_made_again(own_home):
    runner_of(Small)
    (path,) = (own_home / "cache" / "graphs").glob("small-*/graph.json")
    path.write_text('{"precision": "float32", "openvino": "older"}', "utf-8")
    (path.parent / "graph.bin").write_bytes(b"")  # as a power cut left some
    assert np.allclose(runner_of(Small)(rows(3))[0], TorchRunner(Small())(rows(3))[0], atol=1e-6)
    assert "files" in json.loads(path.read_text("utf-8"))


FULL = """
import resource
import numpy as np
from torch import nn
from visita.errors import ArtifactError, MismatchError
from visita.encoders.export import cached_runner
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    cached_runner(
        "large", {}, lambda: nn.Linear(100, 100).eval(),
        lambda: [np.ones((2, 100), np.float32)], [(-1, 100)],
    )
except ArtifactError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size there")
def test_a_cache_without_room_is_an_error_and_not_a_case_for_torch(own_home):
    done = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, encoding="utf-8", check=True
    )
    assert "cannot be written" in done.stdout and str(own_home) in done.stdout
    assert "set VISITA_HOME" in done.stdout and "torch runs it" not in done.stderr
    assert [path.suffix for path in (own_home / "cache" / "graphs").iterdir()] == [".lock"]


def built(quantize: Callable[[ov.Model], object]) -> BuiltNetwork:
    def graph() -> ov.Model:
        x = operations.parameter([-1, 5])
        return operations.model([operations.linear(x, rows(7))], [x], "small")

    return BuiltNetwork("small", {}, graph, Small, Int8(quantize, lambda: [rows(2)]))


def fail(_: ov.Model) -> str:
    raise RuntimeError("no such instruction")


def shift(model: ov.Model) -> None:
    (result,) = model.get_results()
    shifted = ov.opset13.add(result.input_value(0), ov.opset13.constant(np.float32(0.01)))
    result.input(0).replace_source_output(shifted.output(0))


def test_the_last_graphs_stay_compiled_and_older_ones_go():
    first, *others = (replace(built(shift), name=f"small {n}", int8=None) for n in range(5))
    graph = weakref.ref(first.runner())
    assert first.runner() is graph()
    for other in others[:3]:
        other.runner()
    gc.collect()
    assert graph() is not None and first.runner() is graph()
    others[3].runner()
    gc.collect()
    assert graph() is None


def spoil(model: ov.Model) -> None:
    (result,) = model.get_results()
    turned = ov.opset13.negative(result.input_value(0))
    result.input(0).replace_source_output(turned.output(0))


@pytest.mark.usefixtures("own_home")
@pytest.mark.parametrize(
    ("quantize", "reason"), [(fail, "no such instruction"), (spoil, "cosine -1.0")]
)
def test_what_int8_computes_badly_here_is_run_and_named_float32(capfd, quantize, reason):
    assert built(quantize).precision() == "float32"
    said = capfd.readouterr().err
    assert "small runs in float32 here" in said and f"({reason}" in said
    (found,) = built(quantize).runner()(rows(3))
    assert np.allclose(found, rows(3) @ rows(7).T, atol=1e-6) and not capfd.readouterr().err


@pytest.mark.usefixtures("own_home")
def test_what_int8_computes_well_is_run_so():
    assert built(shift).precision() == "int8"
    assert built(fail).precision() == "int8", "it is found out once"
    (found,) = built(shift).runner()(rows(3))
    assert np.allclose(found, rows(3) @ rows(7).T + 0.01, atol=1e-6)


@pytest.mark.usefixtures("own_home")
def test_a_built_network_in_use_is_compiled_once():
    first, again = built(shift).runner(), built(shift).runner()
    assert first is again


@pytest.mark.parametrize("damage", [b"", b"{}", b"no JSON"])
def test_a_precision_that_is_damaged_is_found_out_again(own_home, damage):
    assert built(shift).precision() == "int8"
    (kept,) = (own_home / "cache" / "precisions").iterdir()
    kept.write_bytes(damage)
    assert built(shift).precision() == "int8" and len(kept.read_bytes()) > len(damage)


@pytest.mark.usefixtures("own_home")
def test_a_network_that_cannot_be_run_at_all_is_refused():
    with pytest.raises(ArtifactError, match="network of wrong cannot be run"):
        cached_runner("wrong", {}, lambda: nn.Linear(4, 4), lambda: [rows(2)], [(-1, 5)])
    with pytest.raises(MismatchError, match=r"cannot read features of the shape \(2, 4\)"):
        runner_of(Small)(rows(2)[:, :4])


def test_where_openvino_cannot_torch_runs_it_and_says_so(own_home, capfd):
    runner = runner_of(Eigenvalues, "eigen")
    assert isinstance(runner, TorchRunner)
    said = capfd.readouterr().err
    assert "OpenVINO cannot run eigen (" in said and "torch runs it, more slowly" in said
    inputs = rows(4)
    (found,) = runner(inputs)
    expected = np.array([np.linalg.eigvalsh(np.outer(x, x)) for x in inputs])
    assert found.dtype == np.float32 and np.allclose(found, expected, atol=1e-4)
    assert not list((own_home / "cache" / "graphs").glob("*/"))


SECOND = """
import sys
import numpy as np
from pathlib import Path
from visita.encoders.minilm import MiniLM
from visita.store.pictures import RecipeEncoder
from visita.types import Recipe
levels, texts = sys.argv[1].split(), sys.argv[2].split()
encoder = RecipeEncoder(Recipe({"efficientnet-lite0": tuple(levels)}, mirror=True))
(batch,) = encoder.encode([("a", Path(sys.argv[3]))])
features = MiniLM(texts).encode(["a cat", ""])
assert batch.keys == ["a"] and len(features) == 2
assert not {"torch", "transformers"} & set(sys.modules)
np.savez(sys.argv[4], texts=features.vectors, **batch.columns)
"""


def test_a_second_process_needs_no_torch_and_gives_the_same_bits(
    tmp_path, recipe, photographs, sentences
):
    encoder = RecipeEncoder(recipe)
    (batch,) = encoder.encode([("a", photographs[1])])
    texts = sentences.encode(["a cat", ""])
    levels = " ".join(recipe.levels["efficientnet-lite0"])
    out = tmp_path / "out.npz"
    arguments = [levels, " ".join(sentences.levels), str(photographs[1]), str(out)]
    subprocess.run([sys.executable, "-c", SECOND, *arguments], check=True)
    with np.load(out) as found:
        assert set(found) == {"texts", *Recipe.columns(recipe)}
        assert np.array_equal(found["texts"], texts.vectors)
        for name, values in batch.columns.items():
            assert np.array_equal(found[name], values)


def test_the_fingerprint_of_minilm_is_that_of_its_weights():
    assert MiniLM(("layer1",)).fingerprint() == MiniLM().fingerprint()
