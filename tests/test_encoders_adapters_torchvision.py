"""torchvision and timm: what they compute themselves, number by number, on random weights."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from visita.encoders.engine import Graph
from visita.encoders.export import TorchRunner, export
from visita.encoders.library.networks import imported
from visita.encoders.library.torchvision_models import InceptionV3
from visita.encoders.table import IMAGE_ENCODERS
from visita.errors import ArtifactError, ConfigError, UnknownNameError, VisitaError
from visita.store.pictures import RecipeEncoder
from visita.testing import check_encoder
from visita.types import Recipe

pytestmark = pytest.mark.slow

try:
    timm, torchvision = imported("timm"), imported("torchvision")
except VisitaError as error:
    pytest.skip(f"needs pip install 'visita[timm]': {error}", allow_module_level=True)

SIZES = ((50, 61), (401, 190), (299, 299))
TIMM = {
    "resnet": ("test_resnet", {}),
    "vit": ("test_vit", {}),
    "swin": (
        "swin_tiny_patch4_window7_224",
        {"embed_dim": 8, "depths": (1, 1, 1, 1), "num_heads": (1, 2, 2, 2), "num_classes": 5},
    ),
}


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in SIZES]


def run(encoder: Any, levels: list[str]) -> dict[str, np.ndarray]:
    prepared = np.stack([encoder.prepare(picture) for picture in pictures()])
    return dict(zip(levels, TorchRunner(encoder.network(levels))(prepared), strict=True))


def outputs(model: Any, transforms: Any, layers: tuple[str, ...]) -> dict[str, torch.Tensor]:
    """Return what layers give in the library's own pipeline, from pictures on."""
    found: dict[str, torch.Tensor] = {}
    for layer in layers:
        model.get_submodule(layer).register_forward_hook(
            lambda _module, _inputs, output, layer=layer: found.update({layer: output.clone()})
        )
    with torch.inference_mode():
        found[""] = model(torch.stack([transforms(picture) for picture in pictures()]))
    return found


def cells(output: torch.Tensor) -> np.ndarray:
    return output.flatten(2).transpose(1, 2).numpy()


@pytest.fixture(scope="module", autouse=True)
def checkpoints(tmp_path_factory) -> Iterator[Path]:
    """Let torchvision find random weights for two networks where it keeps its own."""
    home = tmp_path_factory.mktemp("torch")
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    models = torchvision.models
    torch.manual_seed(0)
    torch.save(models.resnet18().state_dict(), folder / file_of("resnet18"))
    inception = models.inception_v3(init_weights=False)
    for module in inception.modules():
        if isinstance(module, torch.nn.Conv2d):  # or the pictures would fade on the way
            torch.nn.init.kaiming_normal_(module.weight)
    torch.save(inception.state_dict(), folder / file_of("inception_v3"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(home))
        yield folder


def file_of(name: str) -> str:
    return Path(torchvision.models.get_model_weights(name).DEFAULT.url).name


@cache
def by_torchvision(name: str, layers: tuple[str, ...]) -> dict[str, torch.Tensor]:
    weights = torchvision.models.get_model_weights(name).DEFAULT
    model = torchvision.models.get_model(name, weights=weights).eval()
    return outputs(model, weights.transforms(), layers)


def test_inception_v3_has_the_papers_two_levels():
    encoder = IMAGE_ENCODERS.load("inception-v3")()
    assert isinstance(encoder, InceptionV3)
    assert encoder.level_shapes() == {"mixed9": (2048,), "fc": (2048,)}
    assert encoder.side == IMAGE_ENCODERS.load("torchvision:inception_v3")().side == 299
    check_encoder(encoder)
    found = run(encoder, ["mixed9", "fc"])
    expected = by_torchvision("inception_v3", ("Mixed_7b", "avgpool"))
    assert expected["Mixed_7b"].shape == (3, 2048, 8, 8)
    assert np.array_equal(found["mixed9"], cells(expected["Mixed_7b"]).max(1))
    assert np.array_equal(found["fc"], expected["avgpool"].flatten(1).numpy())
    with pytest.raises(UnknownNameError, match=r"no level 'mixed_9'\. Did you mean 'mixed9'"):
        encoder.network(["mixed_9"])


def test_the_papers_recipe_is_4096_features(photographs, monkeypatch):
    monkeypatch.setenv("VISITA_PRECISION", "float32")
    encoder = RecipeEncoder(Recipe({"inception-v3": ("mixed9", "fc")}))
    (batch,) = encoder.encode([(path.name, path) for path in photographs])
    assert {name: values.shape for name, values in batch.columns.items()} == {
        "inception-v3/mixed9": (3, 2048),
        "inception-v3/fc": (3, 2048),
    }


def test_layers_of_torchvision_are_levels():
    encoder = IMAGE_ENCODERS.load("torchvision:resnet18")()
    layers = ("layer1.0.bn1", "layer3.1", "avgpool", "fc")
    expected = by_torchvision("resnet18", layers)
    found = run(encoder, [*(f"{layer}:grid" for layer in layers[:3]), "layer3.1:avg", "fc"])
    for layer in layers[:3]:
        assert np.array_equal(found[f"{layer}:grid"], cells(expected[layer]))
    assert np.allclose(found["layer3.1:avg"], cells(expected["layer3.1"]).mean(1), atol=1e-5)
    assert np.array_equal(found["fc"], expected["fc"].numpy())
    assert np.array_equal(found["fc"], expected[""].numpy())


@pytest.mark.parametrize("name", ["torchvision:resnet18", "inception-v3"])
def test_graphs_of_torchvision_give_the_same(name, tmp_path):
    encoder = IMAGE_ENCODERS.load(name)()
    levels = list(encoder.level_shapes())[-6:]
    same_as_graph(encoder, levels, tmp_path)


def same_as_graph(encoder: Any, levels: list[str], folder: Path) -> None:
    prepared = np.stack([encoder.prepare(picture) for picture in pictures()])
    network, shape = encoder.network(levels), (-1, *prepared.shape[1:])
    export(network, [prepared], [shape], folder / "graph.xml")
    torchs = TorchRunner(network)(prepared[:2])
    for one, other in zip(Graph(folder / "graph.xml")(prepared[:2]), torchs, strict=True):
        assert np.allclose(one, other, atol=1e-3, rtol=1e-3)


def test_an_unknown_classifier_of_torchvision_is_refused():
    with pytest.raises(UnknownNameError, match=r"'resnet-18'\. Did you mean 'resnet18'"):
        IMAGE_ENCODERS.load("torchvision:resnet-18")().level_shapes()


def test_weights_that_cannot_be_fetched_are_named_with_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    with pytest.raises(ArtifactError) as caught:
        IMAGE_ENCODERS.load("torchvision:resnet34")().level_shapes()
    assert f"are not in {tmp_path}" in str(caught.value)
    assert f"curl -LO https://download.pytorch.org/models/{file_of('resnet34')}" in str(
        caught.value
    )


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_weights_that_hold_code_are_refused_and_it_does_not_run(checkpoints, tmp_path):
    torch.save({"fc.weight": Bomb(tmp_path / "ran")}, checkpoints / file_of("resnet34"))
    with pytest.raises(ConfigError, match="torchvision cannot load resnet34"):
        IMAGE_ENCODERS.load("torchvision:resnet34")().level_shapes()
    assert not (tmp_path / "ran").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Return the folder of each timm model, with random weights."""
    places = {}
    for name, (architecture, changes) in TIMM.items():
        torch.manual_seed(0)
        places[name] = tmp_path_factory.mktemp(name)
        model = timm.create_model(architecture, **changes)
        timm.models.save_for_hf(model, places[name], model_args=changes, safe_serialization=True)
    return places


def timms(folder: Path) -> tuple[Any, Any]:
    """Return timm's own model and transforms for what it saved in a folder."""
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    return model, timm.data.create_transform(**timm.data.resolve_model_data_config(model))


@pytest.mark.parametrize(
    ("name", "layers"),
    [("resnet", ("layer1.0", "layer4")), ("vit", ("blocks.0", "norm")), ("swin", ("layers.1",))],
)
def test_layers_of_timm_are_levels(folders, name, layers, tmp_path):
    encoder = IMAGE_ENCODERS.load(f"timm:{folders[name]}")()
    expected = outputs(*timms(folders[name]), layers)
    found = run(encoder, [f"{layer}:grid" for layer in layers])
    for layer in layers:
        output = expected[layer]
        if name == "resnet":
            wanted = cells(output)
        elif name == "vit":
            wanted = output[:, 1:].numpy()
        else:  # (b, h, w, c)
            wanted = output.flatten(1, 2).numpy()
        assert np.array_equal(found[f"{layer}:grid"], wanted)
    if name == "vit":
        (found_class,) = run(encoder, ["norm:cls"]).values()
        assert np.array_equal(found_class, expected["norm"][:, 0].numpy())
    same_as_graph(
        encoder, [f"{layer}:{way}" for layer in layers for way in ("avg", "gem")], tmp_path
    )


def test_the_encoders_contract(folders):
    check_encoder(IMAGE_ENCODERS.load(f"timm:{folders['resnet']}")())


def test_names_of_timm_lead_to_its_repository_on_the_hub(folders, tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = tmp_path / "models--timm--test_resnet.r160_in1k"
    shutil.copytree(folders["resnet"], place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit, "utf-8")
    saved = IMAGE_ENCODERS.load(f"timm:{folders['resnet']}")().fingerprint()
    for name in ("test_resnet", "test_resnet.r160_in1k", "timm/test_resnet.r160_in1k"):
        assert IMAGE_ENCODERS.load(f"timm:{name}")().fingerprint() == saved
    with pytest.raises(ArtifactError, match=r"run  hf download timm/resnet18\.a1_in1k  first"):
        IMAGE_ENCODERS.load("timm:resnet18")().level_shapes()
    with pytest.raises(UnknownNameError, match=r"'resnet_18'\. Did you mean 'resnet18'"):
        IMAGE_ENCODERS.load("timm:resnet_18")().level_shapes()
