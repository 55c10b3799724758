"""Models of transformers: every level is what the library itself computes, number by number."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import commands
import numpy as np
import pytest
import torch
import transformers as tf
from huggingface_hub import constants
from PIL import Image

import visita
from visita.data.decode import decode
from visita.encoders.engine import Graph
from visita.encoders.export import TorchRunner, export
from visita.encoders.table import IMAGE_ENCODERS
from visita.errors import ArtifactError, UnknownNameError, VisitaError
from visita.store.pictures import RecipeEncoder
from visita.testing import check_encoder
from visita.types import Recipe

pytestmark = pytest.mark.slow

SIDE = 40
VIT: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "image_size": SIDE,
    "patch_size": 8,
}
DEEP: dict[str, Any] = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2]}
SPREAD = {"initializer_range": 0.3}  # or all pictures would be nearly alike
SQUARE = {"height": SIDE, "width": SIDE}


class Case(NamedTuple):
    """A small model, its image processor, and the level of each of its hidden states."""

    config: Any
    processor: Any
    hidden: tuple[str, ...]
    tokens: int = 0  # before the patches


CROPPED = tf.ConvNextImageProcessorPil(size={"shortest_edge": SIDE})
CASES = {
    "vit": Case(
        tf.ViTConfig(**VIT, **SPREAD),
        tf.ViTImageProcessorPil(size=SQUARE),
        ("embeddings", "layers.0", "layers.1"),
        1,
    ),
    "deit": Case(
        tf.DeiTConfig(**VIT, **SPREAD),
        tf.DeiTImageProcessorPil(size={"height": 45, "width": 45}, crop_size=SQUARE),
        ("embeddings", "layers.0", "layers.1"),
        2,
    ),
    "dinov2": Case(
        tf.Dinov2WithRegistersConfig(**VIT, **SPREAD, num_register_tokens=4),
        tf.BitImageProcessorPil(size={"shortest_edge": 51}, crop_size=SQUARE),
        ("embeddings", "encoder.layer.0", "encoder.layer.1"),
        5,
    ),
    "siglip": Case(
        tf.SiglipVisionConfig(**VIT),
        tf.SiglipImageProcessorPil(size=SQUARE),
        ("embeddings", "encoder.layers.0", "encoder.layers.1"),
    ),
    "resnet": Case(
        tf.ResNetConfig(**DEEP, layer_type="basic"),
        CROPPED,
        ("embedder", "encoder.stages.0", "encoder.stages.1"),
    ),
    "convnext": Case(
        tf.ConvNextConfig(
            hidden_sizes=[8, 16], depths=[1, 2], num_stages=2, layer_scale_init_value=1.0, **SPREAD
        ),
        CROPPED,
        ("embeddings", "encoder.stages.0", "encoder.stages.1"),
    ),
    "swin": Case(
        tf.SwinConfig(
            image_size=SIDE,
            patch_size=2,
            embed_dim=8,
            depths=[1, 2],
            num_heads=[2, 2],
            window_size=5,
            **SPREAD,
        ),
        tf.ViTImageProcessorPil(size=SQUARE),
        ("embeddings", "encoder.layers.0", "encoder.layers.1"),
    ),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Return the folder of each case's model, with random weights."""
    places = {}
    for name, case in CASES.items():
        torch.manual_seed(0)
        places[name] = tmp_path_factory.mktemp(name)
        tf.AutoModel.from_config(case.config).save_pretrained(places[name])
        case.processor.save_pretrained(places[name])
    return places


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    sizes = ((50, 61), (90, 44), (SIDE, SIDE))
    return [Image.fromarray(rng.integers(0, 256, (*s, 3), dtype=np.uint8)) for s in sizes]


def load(folder: Path | str) -> Any:
    return IMAGE_ENCODERS.load(f"transformers:{folder}")()


def run(encoder: Any, levels: list[str]) -> dict[str, np.ndarray]:
    prepared = np.stack([encoder.prepare(picture) for picture in pictures()])
    return dict(zip(levels, TorchRunner(encoder.network(levels))(prepared), strict=True))


def by_the_library(folder: Path) -> Any:
    """Return the output of transformers' own pipeline, from pictures to hidden states."""
    model = tf.AutoModel.from_pretrained(folder).eval()
    processor = tf.AutoImageProcessor.from_pretrained(folder, backend="pil")
    with torch.inference_mode():
        return model(**processor(pictures(), return_tensors="pt"), output_hidden_states=True)


@pytest.mark.parametrize("name", CASES)
def test_levels_equal_the_librarys_hidden_states_to_the_bit(folders, name):
    case, encoder = CASES[name], load(folders[name])
    classes = [layer for layer in case.hidden if f"{layer}:cls" in encoder.level_shapes()]
    assert len(classes) == (len(case.hidden) - 1 if case.tokens else 0)
    found = run(encoder, [f"{layer}:grid" for layer in case.hidden] + [f"{c}:cls" for c in classes])
    states = by_the_library(folders[name]).hidden_states
    assert len(states) == len(case.hidden)
    for layer, state in zip(case.hidden, states, strict=True):
        values = state.flatten(2).transpose(1, 2) if state.ndim == 4 else state
        assert np.array_equal(found[f"{layer}:grid"], values[:, case.tokens :].numpy())
        if layer in classes:
            assert np.array_equal(found[f"{layer}:cls"], values[:, 0].numpy())


@pytest.mark.parametrize("name", CASES)
def test_the_exported_graph_gives_the_same(folders, name, tmp_path):
    case, encoder = CASES[name], load(folders[name])
    ways = ("avg", "max", "gem", "grid", "5x5", "cls")
    known = encoder.level_shapes()
    levels = [f"{c}:{w}" for c in case.hidden for w in ways if f"{c}:{w}" in known]
    prepared = np.stack([encoder.prepare(picture) for picture in pictures()])
    network, shape = encoder.network(levels), (-1, SIDE, SIDE, 3)
    export(network, [prepared], [shape], tmp_path / "graph.xml")
    torchs = TorchRunner(network)(prepared[:2])
    for one, other in zip(Graph(tmp_path / "graph.xml")(prepared[:2]), torchs, strict=True):
        assert np.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("name", ["dinov2", "convnext", "swin"])
def test_the_encoders_contract(folders, name):
    check_encoder(load(folders[name]))


def test_of_two_towers_the_one_for_pictures_is_taken(tmp_path):
    torch.manual_seed(0)
    small = {k: v for k, v in VIT.items() if k not in ("image_size", "patch_size")}
    model = tf.CLIPModel(tf.CLIPConfig(vision_config=VIT, text_config=small)).eval()
    model.save_pretrained(tmp_path)
    processor = tf.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE)
    processor.save_pretrained(tmp_path)
    found = run(load(tmp_path), ["encoder.layers.1:cls", "post_layernorm"])
    with torch.inference_mode():
        read = processor(pictures(), return_tensors="pt")
        expected = model.vision_model(**read, output_hidden_states=True)
    assert np.array_equal(found["encoder.layers.1:cls"], expected.hidden_states[2][:, 0].numpy())
    assert np.array_equal(found["post_layernorm"], expected.pooler_output.numpy())


def test_what_the_weights_do_not_reach_is_no_level(tmp_path):
    torch.manual_seed(0)
    tf.ViTForImageClassification(CASES["vit"].config).save_pretrained(tmp_path)
    CASES["vit"].processor.save_pretrained(tmp_path)
    encoder = load(tmp_path)
    assert "layernorm:cls" in encoder.level_shapes()
    with pytest.raises(UnknownNameError, match=r"has no level 'pooler'\."):
        encoder.network(["pooler"])
    assert "pooler" in load_with_pooler(tmp_path / "whole").level_shapes()


def load_with_pooler(folder: Path) -> Any:
    tf.ViTModel(CASES["vit"].config).save_pretrained(folder)
    CASES["vit"].processor.save_pretrained(folder)
    return load(folder)


def test_two_spellings_of_one_model_are_not_told_apart_by_their_place(folders, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folders["vit"], copy)
    assert load(copy).fingerprint() == load(folders["vit"]).fingerprint()
    settings = json.loads((copy / "preprocessor_config.json").read_text("utf-8"))
    (copy / "preprocessor_config.json").write_text(json.dumps({**settings, "resample": 3}), "utf-8")
    assert load(copy).fingerprint() != load(folders["vit"]).fingerprint()


def test_half_precision_weights_are_computed_in_full(folders, tmp_path):
    tf.AutoModel.from_pretrained(folders["vit"]).half().save_pretrained(tmp_path)
    CASES["vit"].processor.save_pretrained(tmp_path)
    encoder = load(tmp_path)
    (half,) = run(encoder, ["layers.1:avg"]).values()
    (full,) = run(load(folders["vit"]), ["layers.1:avg"]).values()
    assert half.dtype == np.float32 and np.allclose(half, full, atol=0.02)
    assert encoder.fingerprint() != load(folders["vit"]).fingerprint()


def only_pickled(folder: Path) -> None:
    torch.save({"anything": torch.zeros(1)}, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def without_processor(folder: Path) -> None:
    (folder / "preprocessor_config.json").unlink()


def flipped(folder: Path) -> None:
    tf.MobileViTImageProcessorPil(
        size={"shortest_edge": 45}, crop_size=SQUARE, do_flip_channel_order=True
    ).save_pretrained(folder)


def oblong(folder: Path) -> None:
    tf.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE + 8}).save_pretrained(folder)


def reads_text(folder: Path) -> None:
    small = {k: v for k, v in VIT.items() if k not in ("image_size", "patch_size")}
    tf.BertModel(tf.BertConfig(**small, vocab_size=9)).save_pretrained(folder)


def damaged(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])


def with_its_own_code(folder: Path) -> None:
    (folder / "mine.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\n", "utf-8")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    own = {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}
    config |= {"model_type": "mine", "auto_map": own}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (only_pickled, "has no model.safetensors, and visita unpickles no weights"),
        (without_processor, "has no image processor that transformers can load"),
        (flipped, "prepared in a way that visita does not know"),
        (oblong, "does not read square pictures of one size"),
        (reads_text, "does not read pictures but input_ids"),
        (damaged, "transformers cannot load"),
        (with_its_own_code, "transformers cannot load"),
        (lambda folder: (folder / "config.json").unlink(), "holds no model: it has no config.json"),
    ],
)
def test_models_that_cannot_be_used_are_refused(folders, tmp_path, change, message):
    folder = tmp_path / "model"
    shutil.copytree(folders["vit"], folder)
    change(folder)
    with pytest.raises(VisitaError, match=message):
        load(folder).level_shapes()
    assert not (folder / "ran").exists()


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """Return an empty cache of the hub, with the network switched off."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_model_of_the_hub_is_found_in_its_cache(folders, hub):
    commit = "0123456789abcdef0123456789abcdef01234567"
    place = hub / "models--someone--tiny-vit"
    shutil.copytree(folders["vit"], place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit, "utf-8")
    encoder = load("someone/tiny-vit")
    assert encoder.name == "transformers:someone/tiny-vit"
    assert encoder.fingerprint() == load(folders["vit"]).fingerprint()
    (found,) = run(encoder, ["layers.1:grid"]).values()
    (expected,) = run(load(folders["vit"]), ["layers.1:grid"]).values()
    assert np.array_equal(found, expected)


def test_a_model_that_is_not_there_is_named_with_the_command_that_fetches_it(hub):
    with pytest.raises(ArtifactError) as caught:
        load("someone/absent").level_shapes()
    assert f"'someone/absent' is not in {hub}" in str(caught.value)
    assert "run  hf download someone/absent  first" in str(caught.value)
    with pytest.raises(ArtifactError, match="'/no/such/place' is neither a folder nor"):
        load("/no/such/place").level_shapes()


def test_the_hubs_own_switch_keeps_off_the_network(tmp_path):
    program = "from visita.encoders.library.hub import model_files; model_files('someone/tiny-vit')"
    settings = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, encoding="utf-8", check=False
    )
    assert f"is not in {tmp_path}/hub and could not be fetched" in done.stderr
    assert "HF_HUB_OFFLINE is set" in done.stderr


def test_opened_again_neither_torch_nor_transformers_is_imported(folders, photographs):
    recipe = Recipe({f"transformers:{folders['vit']}": ("layers.1:cls",)})
    (column,) = RecipeEncoder(recipe).encode_pictures([decode(photographs[0])]).values()
    program = f"""
import sys
from pathlib import Path
from visita.data.decode import decode
from visita.store.pictures import RecipeEncoder
from visita.types import Recipe
encoder = RecipeEncoder(Recipe({dict(recipe.levels)!r}))
print(encoder.facts()["encoders"])
print(encoder.encode_pictures([decode(Path({str(photographs[0])!r}))]).popitem()[1].tolist())
assert not {{"torch", "transformers"}} & set(sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, encoding="utf-8", check=True
    )
    told, values = done.stdout.splitlines()
    assert load(folders["vit"]).fingerprint() in told
    assert np.allclose(json.loads(values), column, atol=1e-5)


def test_features_are_extracted_and_a_matcher_is_trained_and_found_with(
    folders, drawn_folder, sentences, tmp_path
):
    levels = {
        f"transformers:{folders[name]}": (f"{CASES[name].hidden[2]}:avg",)
        for name in ("vit", "swin")
    }
    config = visita.FusionConfig(
        image_levels=levels,
        text_levels=sentences.levels,
        mirror=False,
        class_names_weight=0,
        keywords_per_image=0,
        dim=16,
        fusion_dim=16,
        hidden=16,
        epochs=1,
    )
    settings = [f"{key}={json.dumps(value)}" for key, value in config.model_dump().items()]
    words = [word for setting in settings for word in ("--set", setting)]
    data = ("--data", f"folder:{drawn_folder}", "--out", tmp_path / "features")
    done = commands.run("extract", "--json", *data, *words)
    assert done.status == 0, done.err
    columns = [f"{name}/{level}" for name, (level,) in levels.items()]
    assert done.json["columns"] == dict(zip(columns, ([24], [16]), strict=True))
    trained = visita.train(
        f"folder:{drawn_folder}", tmp_path / "mine", config=config, features=tmp_path / "features"
    )
    assert visita.load(trained.folder).recipe == Recipe(levels)
    gallery = visita.Gallery.open(drawn_folder, matcher=trained.folder, home=tmp_path / "home")
    assert gallery.sync().added == 120
    assert len(gallery.search("a red circle", k=5)) == 5
